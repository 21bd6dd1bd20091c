"""Weights from strangers: refused with the file named, and nothing in them is run."""

from __future__ import annotations

import dataclasses
import io
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from strategies import reference_crystals
from toy_experts import cgcnn, cgcnn_expert

from moe_mat import load_expert
from moe_mat.files.checksum import file_sha256
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.card_parts import WeightsFile
from moe_mat.zoo.cards import ExpertCard, read_card, write_card
from moe_mat.zoo.import_cgcnn import import_cgcnn
from moe_mat.zoo.weights import WeightsError

ROCKSALT = reference_crystals()["NaCl rocksalt"]
PAGE = b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"


class Payload:
    """Unpickled, it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.marker), "w")


def torch_file(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def hostile_files(marker: Path) -> dict[str, bytes]:
    state = cgcnn().state_dict()
    return {
        "pickle": pickle.dumps(Payload(marker), protocol=2),
        "torch.save": torch_file({"state_dict": state, "normalizer": Payload(marker)}),
        "legacy torch.save": torch_file({"state_dict": Payload(marker)}, _use_new_zipfile_serialization=False),
        "whole module": torch_file({"state_dict": cgcnn()}),
    }


HOSTILE = list(hostile_files(Path("marker")))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "the payload ran"


def test_the_payload_works_where_nobody_is_careful(marker: Path) -> None:
    """Otherwise the tests below could not fail."""
    pickle.loads(hostile_files(marker)["pickle"])
    assert marker.exists()
    marker.unlink()
    torch.load(io.BytesIO(hostile_files(marker)["torch.save"]), weights_only=False)
    assert marker.exists()


def with_weights(card: ExpertCard, content: bytes) -> Path:
    """Replace the weights of an expert, with a card that vouches for them."""
    assert card.weights_file is not None
    card.weights_file.write_bytes(content)
    weights = WeightsFile(card.weights_file.name, file_sha256(card.weights_file))
    write_card(dataclasses.replace(card, weights=weights))
    return card.path


@pytest.mark.parametrize("kind", HOSTILE)
def test_pickles_called_safetensors_are_not_loaded(kind: str, tmp_path: Path, marker: Path) -> None:
    path = with_weights(cgcnn_expert(tmp_path, "toy"), hostile_files(marker)[kind])
    with pytest.raises(WeightsError, match=r"toy\.safetensors .*pickle") as caught:
        load_expert(path)
    assert "experts import" in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["hostile.pth.tar", "hostile.pt", "hostile.safetensors"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_checkpoints_are_not_imported(kind: str, name: str, tmp_path: Path, marker: Path) -> None:
    source = tmp_path / name
    source.write_bytes(hostile_files(marker)[kind])
    with pytest.raises(WeightsError, match="code") as caught:
        import_cgcnn(source, folder=tmp_path / "hub")
    assert str(source) in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's own message advises to switch the safeguard off
    assert not marker.exists()
    assert not (tmp_path / "hub").exists()


DAMAGED = {"page": PAGE, "empty": b"", "noise": bytes(range(256)) * 4, "huge header": b"\xff" * 7 + b"\x00{}"}


@pytest.mark.parametrize("kind", [*DAMAGED, "cut", "cut header"])
def test_damaged_weights_are_named(kind: str, tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    assert card.weights_file is not None
    content = card.weights_file.read_bytes()
    damaged = DAMAGED | {"cut": content[:-100], "cut header": content[:50]}
    path = with_weights(card, damaged[kind])
    with pytest.raises(WeightsError, match="HTML page" if kind == "page" else "truncated or damaged") as caught:
        load_expert(path)
    assert str(card.weights_file) in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_damaged_checkpoint_is_named_wherever_it_broke(legacy: bool, tmp_path: Path) -> None:
    options = {"_use_new_zipfile_serialization": not legacy}
    content, generator = torch_file({"state_dict": cgcnn().state_dict()}, **options), random.Random(0)
    broken = [content[: generator.randrange(len(content))] for _ in range(20)]
    for _ in range(20):
        changed = bytearray(content)
        for _ in range(8):
            changed[generator.randrange(2000)] = generator.randrange(256)
        broken.append(bytes(changed))
    source, refused = tmp_path / "broken.pth.tar", 0
    for content in [*broken, PAGE, b"", b"\x80\x02.", b"\x80\x02}."]:
        source.write_bytes(content)
        try:
            import_cgcnn(source, folder=tmp_path / "hub")
        except WeightsError as error:
            assert str(source) in str(error)  # noqa: PT017 - a few of the changes leave a checkpoint that is whole
            refused += 1
    assert refused > 35


def test_weights_without_the_checksum_of_the_card_are_refused(tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    assert card.weights_file is not None
    weights = load_file(card.weights_file)
    weights["embedding.bias"] += 1e-3
    save_file(weights, card.weights_file)
    with pytest.raises(WeightsError, match=r"toy\.safetensors does not have the SHA-256 of its card"):
        load_expert(card.path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("convs.1.bn2.running_mean"), r"Missing key.*convs\.1\.bn2\.running_mean"),
        (lambda state: state.update({"head.weight": torch.ones(1)}), r"Unexpected key.*head\.weight"),
        (lambda state: state.update({"embedding.bias": torch.ones(9)}), r"size mismatch for embedding\.bias"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    change: Callable[[dict[str, torch.Tensor]], Any], problem: str, tmp_path: Path
) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    state = cgcnn().state_dict()
    change(state)
    source = tmp_path / "other.safetensors"
    save_file(state, source)
    with pytest.raises(WeightsError, match=r"toy\.safetensors does not fit expert toy") as caught:
        load_expert(with_weights(card, source.read_bytes()))
    with pytest.raises(WeightsError, match=r"other\.safetensors is not a CGCNN in the published layout") as at_import:
        import_cgcnn(source, folder=tmp_path / "hub")
    for error in (caught, at_import):
        error.match(r"(?s)" + problem)


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"state_dict": [1]}, {"epoch": 3}, {"state_dict": {"weight": torch.ones(2)}}]
)
def test_a_checkpoint_that_is_no_cgcnn_is_named(content: Any, tmp_path: Path) -> None:
    source = tmp_path / "other.pth.tar"
    source.write_bytes(torch_file(content))
    with pytest.raises(WeightsError, match=r"other\.pth\.tar"):
        import_cgcnn(source, folder=tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    for name in ("absent.pth.tar", "absent.safetensors"):
        with pytest.raises(WeightsError, match=name):
            import_cgcnn(tmp_path / name, folder=tmp_path)


# What is harmless is imported


@pytest.mark.parametrize("suffix", [".pth.tar", ".pt", ".safetensors"])
def test_published_checkpoints_are_imported(suffix: str, tmp_path: Path) -> None:
    encoder = cgcnn()
    state = encoder.state_dict() | {"conv_to_fc.weight": torch.ones(3, 8), "fc_out.bias": torch.ones(1)}
    source = tmp_path / f"mp eform, 2022{suffix}"
    if suffix == ".safetensors":
        save_file(state, source)
    else:
        normalizer = {"mean": torch.tensor(1.0), "std": 2.0}
        source.write_bytes(torch_file({"epoch": 7, "state_dict": state, "normalizer": normalizer, "args": {"n": [1]}}))
    card = import_cgcnn(source, folder=tmp_path / "hub", target="formation energy", unit="eV/atom", license="MIT")
    assert (card.tag, card.dim, card.target, card.unit) == ("mp_eform_2022", 8, "formation energy", "eV/atom")
    assert read_card(card.path) == card
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [f"{card.tag}.safetensors", f"{card.tag}.yaml"]
    with torch.no_grad():
        layer = encoder(encoder.collate([encoder.prepare(ROCKSALT)])).nodes["conv2"]
    expected = torch.nn.functional.softplus(layer.mean(0))
    np.testing.assert_allclose(load_expert(card.path).embed([ROCKSALT])[0], expected, atol=1e-6)


def test_a_tag_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = tmp_path / "toy.safetensors"
    save_file(cgcnn().state_dict(), source)
    with pytest.raises(CardError, match="tag"):
        import_cgcnn(source, folder=tmp_path / "hub", tag="../toy")
    assert not (tmp_path / "hub").exists()
