"""Cards: every one that ships is valid and loads, and names find the right ones."""

from __future__ import annotations

import dataclasses
import json
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jsonschema
import moe_mat.experts
import numpy as np
import pytest
import yaml
from strategies import reference_crystals
from toy_experts import cgcnn, cgcnn_expert, network_expert, write_expert

from moe_mat import list_experts, load_expert
from moe_mat.encoders import Encoder
from moe_mat.zoo.cards import CardError, file_sha256, find_cards, read_card, write_card, zoo_folder
from moe_mat.zoo.experts import EncoderExpert, Expert, WeightsError

TAGS = list_experts()
ROCKSALT = reference_crystals()["NaCl rocksalt"]

# The experts that ship


@pytest.mark.parametrize("tag", TAGS)
def test_card_fits_the_schema_and_its_files_are_there(tag: str) -> None:
    schema = json.loads((zoo_folder() / "card.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    content = yaml.safe_load((zoo_folder() / f"{tag}.yaml").read_text())
    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    card = read_card(zoo_folder() / f"{tag}.yaml")
    assert card.tag == tag == card.reference
    assert card.license.strip()
    assert card.citation
    if card.weights_file is not None:
        assert card.weights is not None
        assert file_sha256(card.weights_file) == card.weights["sha256"]


@pytest.fixture(scope="module")
def encoders() -> dict[str, Encoder]:
    """Encoders by digest: most experts are layers of a few."""
    return {}


@pytest.mark.parametrize("tag", TAGS)
def test_expert_loads_and_embeds(tag: str, encoders: dict[str, Encoder]) -> None:
    card = read_card(zoo_folder() / f"{tag}.yaml")
    if card.encoder == "matgl" and not Path(card.settings["model"]).is_dir():
        pytest.skip("the weights come from a hub: tests/test_encoders.py loads such models from folders")
    if card.weights is not None and "package" in card.weights:
        try:
            version(card.weights["package"])
        except PackageNotFoundError:
            pytest.skip(f"the optional package {card.weights['package']} is not installed")
    if card.encoder_digest in encoders:
        expert: Expert = EncoderExpert(card, encoder=encoders[card.encoder_digest])
    else:
        expert = load_expert(tag)
    if isinstance(expert, EncoderExpert):
        encoders[card.encoder_digest] = expert.encoder
    embedding = expert.embed([ROCKSALT, ROCKSALT * 2])
    assert embedding.shape == (2, card.dim)
    assert embedding.dtype == np.float32
    assert np.isfinite(embedding).all()
    np.testing.assert_allclose(embedding[0], embedding[1], atol=1e-3)
    assert not any(parameter.requires_grad for parameter in expert.parameters())
    assert not any(module.training for module in expert.train().modules())


def test_the_default_experts_ship() -> None:
    tags = [card.tag for card in find_cards("default")]
    assert {"chgnet", "magpie", "structure_features", "jarvis_formation_energy"} <= set(tags)
    assert all(any(fnmatchcase(tag, pattern) for tag in tags) for pattern in moe_mat.experts.DEFAULT)
    needs_a_download = {"matgl", "sevenn"}
    assert not [c.tag for c in find_cards("default") if (c.weights or {}).get("package") in needs_a_download]


def test_no_weights_lie_without_a_card() -> None:
    named = [read_card(zoo_folder() / f"{tag}.yaml").weights_file for tag in TAGS]
    assert set(zoo_folder().glob("*.safetensors")) == {path for path in named if path is not None}


# Names


def test_patterns() -> None:
    assert list_experts("chgnet") == ["chgnet"]
    assert list_experts("no such *") == []
    conv = list_experts("chgnet_conv*")
    assert len(conv) > 1
    assert [card.tag for card in find_cards("chgnet_conv*")] == conv


@pytest.mark.parametrize(("name", "hint"), [("chgent", "chgnet"), ("Magpie", "magpie"), ("nothing_like_it", None)])
def test_an_unknown_tag_names_close_matches(name: str, hint: str | None) -> None:
    with pytest.raises(CardError, match=f"no expert {name!r}") as caught:
        load_expert(name)
    assert (f"Did you mean {hint}" in str(caught.value)) if hint else ("Did you mean" not in str(caught.value))


def test_folders_patterns_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (cgcnn_expert(tmp_path / "hub", tag, seed=seed) for seed, tag in enumerate(["toy_one", "toy_two"]))
    assert find_cards(str(tmp_path / "hub")) == [one, two]
    assert find_cards(str(tmp_path / "hub" / "*_two")) == [two]
    assert find_cards(str(two.path)) == [two]
    assert find_cards([str(two.path), "magpie", str(tmp_path / "hub")]) == [two, *find_cards("magpie"), one]
    assert load_expert(two.path).tag == "toy_two"
    assert find_cards(two.reference) == [two]
    with pytest.raises(CardError, match="2 experts \\(toy_one, toy_two\\)"):
        load_expert(tmp_path / "hub")
    with pytest.raises(CardError, match="no expert"):
        find_cards(str(tmp_path / "hub" / "*_three"))
    monkeypatch.chdir(tmp_path)
    assert [card.tag for card in find_cards(["hub", str(one.path), "./hub/toy_*"])] == ["toy_one", "toy_two"]


def test_a_folder_in_the_way_does_not_hide_an_expert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chgnet").mkdir()
    (tmp_path / "magpie").write_text("notes")
    monkeypatch.chdir(tmp_path)
    assert [card.tag for card in find_cards(["chgnet", "magpie"])] == ["chgnet", "magpie"]


def test_two_experts_with_one_tag_are_refused(tmp_path: Path) -> None:
    one, two = (cgcnn_expert(tmp_path / hub, "toy", seed=seed) for seed, hub in enumerate(["a", "b"]))
    with pytest.raises(CardError, match="toy") as caught:
        find_cards([str(one.path), str(two.path)])
    assert str(one.path) in str(caught.value)
    assert str(two.path) in str(caught.value)


# Cards with mistakes


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dim": 0}, "dim: 0"),
        ({"readout": {"layers": []}}, "readout.layers"),
        ({"readout": {"layers": ["conv2"], "statistics": ["median"]}}, "median"),
        ({"weights": {"file": "../toy.safetensors", "sha256": "0" * 64}}, "weights"),
        ({"weights": {"file": "toy.pth.tar", "sha256": "0" * 64}}, "weights"),
        ({"encoders": "cgcnn"}, "encoders"),
        ({"tag": "other"}, "name the file other.yaml"),
    ],
)
def test_a_card_with_a_mistake_is_named(change: dict[str, object], problem: str, tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    card.path.write_text(yaml.safe_dump(card.to_dict() | change))
    with pytest.raises(CardError) as caught:
        read_card(card.path)
    assert str(card.path) in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"tag: [", b"\xff\xfe", b"- a list"])
def test_what_is_no_card_is_named(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(text)
    with pytest.raises(CardError, match=r"toy\.yaml"):
        read_card(path)


def test_a_card_that_is_not_valid_is_not_written(tmp_path: Path) -> None:
    card = dataclasses.replace(cgcnn_expert(tmp_path, "toy"), tag="not a tag", path=tmp_path / "not a tag.yaml")
    with pytest.raises(CardError, match="tag: 'not a tag'"):
        write_card(card)
    assert not card.path.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"encoder": "cgnn"}, "unknown encoder 'cgnn'; known: .*cgcnn"),
        ({"settings": {"widht": 8}}, "widht"),
        ({"dim": 9}, "dim 9, but its embedding has 8"),
        ({"readout": {"layers": ["conv7"]}}, "no layer 'conv7'; it has embedding, conv1, conv2"),
    ],
)
def test_a_card_that_does_not_fit_its_encoder_is_refused(
    change: dict[str, object], problem: str, tmp_path: Path
) -> None:
    card = dataclasses.replace(cgcnn_expert(tmp_path, "toy"), **change)
    write_card(card)
    with pytest.raises(CardError, match=problem) as caught:
        load_expert(card.path)
    assert "toy" in str(caught.value)


def test_weights_of_another_package_version_are_refused(tmp_path: Path) -> None:
    """What chgnet 0.5 computes would be cached, and mixed, as what chgnet 0.4.2 does."""
    card = find_cards("chgnet")[0]
    changed = dataclasses.replace(card, weights={"package": "chgnet", "version": "0.1"}, path=tmp_path / "chgnet.yaml")
    write_card(changed)
    with pytest.raises(WeightsError, match=r"pip install chgnet==0\.1"):
        load_expert(changed.path)


# TrainingCrystals


def test_digests_tell_what_matters_from_what_does_not(tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    retold = dataclasses.replace(card, title="another title", metrics={"validation_mae": 1.0}, tag="renamed")
    assert retold.digest == card.digest
    changes = [
        {"weights": {"file": "toy.safetensors", "sha256": "0" * 64}},
        {"settings": card.settings | {"ties": "order"}},
        {"readout": card.readout | {"activation": "none"}},
        {"encoder": "chgnet"},
    ]
    changed = [dataclasses.replace(card, **change) for change in changes]
    assert len({card.digest, *(other.digest for other in changed)}) == len(changes) + 1
    assert changed[2].encoder_digest == card.encoder_digest != changed[1].encoder_digest


def test_a_rewritten_card_is_read_anew(tmp_path: Path) -> None:
    prints = {cgcnn_expert(tmp_path, "toy", seed=seed).digest for seed in range(5)}
    assert len(prints) == 5


def test_a_network_depends_on_its_trunk(tmp_path: Path) -> None:
    trunk = cgcnn_expert(tmp_path, "trunk")
    network = network_expert(tmp_path, "network", trunk=[trunk], sizes=[4])
    before = network.digest
    pinned = dataclasses.replace(network, trunk_digest=moe_mat.zoo.cards.trunk_digest([trunk]))
    write_card(pinned)
    assert load_expert(network.path).dim == 4
    cgcnn_expert(tmp_path, "trunk", seed=1)
    assert network.digest != before
    with pytest.raises(CardError, match="network was trained on another version of trunk"):
        load_expert(network.path)


def test_a_network_without_its_trunk_is_refused(tmp_path: Path) -> None:
    network = network_expert(tmp_path, "network", trunk=[cgcnn_expert(tmp_path, "trunk")], sizes=[4])
    (tmp_path / "trunk.yaml").unlink()
    with pytest.raises(CardError, match=r"trunk\.yaml"):
        load_expert(network.path)
    write_card(dataclasses.replace(network, trunk=["network"]))
    with pytest.raises(CardError, match="names itself"):
        load_expert(network.path)


def test_weights_that_a_card_names_need_not_exist_to_be_listed(tmp_path: Path) -> None:
    card = write_expert(tmp_path, "toy", cgcnn(), encoder="cgcnn", readout={"layers": ["conv2"]}, dim=8)
    assert card.weights_file is not None
    card.weights_file.unlink()
    assert find_cards(str(tmp_path)) == [card]
    with pytest.raises(WeightsError, match=r"toy\.safetensors is missing"):
        load_expert(card.path)
