"""Devices: encoders and batches meet on one, what they say does not depend on it, and a GPU that is not there is told.

Without a GPU, the meta device takes its place: its tensors have no numbers, but tell where they are.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_cases import load
from strategies import reference_crystals
from test_compose import CRYSTALS as TASK
from test_compose import VALUES
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toy_binaries import run, write_binaries, write_recipe
from toy_experts import cgcnn_expert
from toy_hub import backbone

from moe_mat import MoERegressor, load_expert
from moe_mat.cli.main import main
from moe_mat.encoders import choose_device, placed
from moe_mat.graphs.message_passing import batch_graphs
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.mixture.training import accelerator
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.find import find_cards

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
MOVING = ["cgcnn", "chgnet", "sevennet", "sevennet-l3i5", "sevennet-mf-0", "tensornet", "m3gnet", "qet"]
CRYSTALS = [one for name, one in reference_crystals().items() if name != "isolated Ar"]


class OneDevice(TorchDispatchMode):
    """Refuses to compute with tensors of several devices, as a GPU does: only single numbers and copies may meet."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return len(CRYSTALS) - 1  # what is asked for is the last crystal of the batch
        tensors = [value for value in tree_leaves([args, kwargs]) if isinstance(value, Tensor) and value.ndim]
        devices = {tensor.device.type for tensor in tensors}
        if len(devices) > 1 and func not in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default):
            raise RuntimeError(f"{func}: tensors are on {' and '.join(sorted(devices))}")
        if func is torch.ops.aten._unique2.default and args[0].is_meta:  # how many there are, nobody knows
            return args[0], torch.empty_like(args[0]), torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["cgcnn", "chgnet", "sevennet"])
def test_encoders_make_their_tensors_where_those_of_the_batch_are(name: str) -> None:
    encoder = load(name)
    batch = encoder.collate([encoder.prepare(structure) for structure in CRYSTALS])
    moved, there = copy.deepcopy(encoder).to("meta"), batch.to("meta")
    assert moved.device.type == "meta"
    with torch.no_grad(), OneDevice():
        features = moved(there)
    layers = [*features.nodes.values(), *features.crystals.values(), features.crystal_of_node]
    assert {layer.device.type for layer in layers} == {"meta"}
    with pytest.raises(RuntimeError, match="tensors are on cpu and meta"), torch.no_grad(), OneDevice():
        moved(batch)


def test_descriptors_and_physics_stay_on_the_cpu() -> None:
    for name in ("descriptors", "local_environment", "polar_springs", "layer_stack"):
        encoder = load(name)
        assert placed(encoder, torch.device("meta")).device.type == "cpu", name


def test_moving_a_batch_keeps_its_short_cut() -> None:
    encoder = load("cgcnn")
    batch = batch_graphs([encoder.prepare(structure) for structure in CRYSTALS])
    assert batch.degree == 12
    assert batch.to("meta").degree == 12


@without_cuda
def test_a_gpu_that_is_not_there_is_told_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = r"device cuda cannot be had, because torch .*: use cpu, or auto"
    with pytest.raises(ValueError, match=told):
        embed(find_cards("magpie"), CRYSTALS, device="cuda")
    with pytest.raises(ValueError, match=told):
        load_expert("chgnet").embed(CRYSTALS, device="cuda")
    with pytest.raises(ValueError, match=told):
        MoERegressor("magpie", device="cuda").fit(TASK, VALUES)
    structure = tmp_path / "salt.cif"
    CRYSTALS[0].to(str(structure))
    commands = [
        ["embed", str(structure), "--experts", "magpie", "--output", str(tmp_path / "out.parquet")],
        ["fit", "--experts", "magpie"],
        ["predict", str(structure), "--ckpt_path", "best.ckpt"],
    ]
    for command in commands:
        assert main([*command, "--device", "cuda"]) == 1
        assert "use cpu, or auto" in capsys.readouterr().err
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="there is no device 'tpu'"):
        choose_device("tpu")  # type: ignore[arg-type]


def test_a_gpu_trains_what_gains_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = backbone(tmp_path)
    heads = {
        "kernel": MixtureOfExperts(experts=[str(card.path)]).head,
        "inducing": MixtureOfExperts(experts=[str(card.path)], head="inducing").head,
        "frozen": MixtureOfExperts(experts=[str(card.path)], head="mlp").head,
        "tuned": MixtureOfExperts(experts=[str(card.path)], head="mlp", trainable="all").head,
    }
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = {name: [accelerator(head, device) for device in ("cpu", "auto", "cuda")] for name, head in heads.items()}
    assert chosen == {
        "kernel": ["cpu", "cpu", "cpu"],
        "inducing": ["cpu", "cpu", "cpu"],
        "frozen": ["cpu", "cpu", "cuda"],
        "tuned": ["cpu", "cuda", "cuda"],
    }
    tuned = heads["tuned"].tuned
    assert tuned is not None
    tuned.moves = False  # as of an encoder that does not know of GPUs
    assert accelerator(heads["tuned"], "auto") == "cpu"
    with pytest.raises(ValueError, match="on the CPU alone: use the device cpu or auto"):
        accelerator(heads["tuned"], "cuda")


def test_what_is_trained_of_the_experts_comes_back(tmp_path: Path) -> None:
    head = MixtureOfExperts(experts=[str(backbone(tmp_path).path)], head="mlp", trainable="all").head
    assert head.tuned is not None
    with torch.inference_mode(), head.tuned_on(torch.device("cpu")):
        assert head.tuned.device.type == "cpu"
    assert not any(parameter.is_inference() for parameter in head.parameters())
    assert all(parameter.requires_grad for parameter in head.tuned.parameters())


@needs_cuda
@pytest.mark.parametrize("name", MOVING)
def test_encoders_say_the_same_on_a_gpu(name: str) -> None:
    encoder = load(name)
    batch = encoder.collate([encoder.prepare(structure) for structure in CRYSTALS])
    with torch.no_grad():
        expected = encoder(batch)
        found = copy.deepcopy(encoder).to("cuda")(batch.to("cuda"))
    for kind in ("nodes", "crystals"):
        for layer, values in getattr(expected, kind).items():
            moved = getattr(found, kind)[layer]
            assert moved.device.type == "cuda"
            scale = float(values.abs().max())
            torch.testing.assert_close(
                moved.cpu(), values, rtol=0, atol=2e-4 * scale, msg=lambda m, n=layer: f"{n}: {m}"
            )


@needs_cuda
def test_embeddings_are_the_same_on_a_gpu_and_do_not_stay_there() -> None:
    cards = find_cards(["magpie", "chgnet", "light_jarvis_formation_energy"])
    on_cpu, on_gpu = (embed(cards, CRYSTALS, device=device).values for device in ("cpu", "cuda"))
    for tag, values in on_cpu.items():
        np.testing.assert_allclose(on_gpu[tag], values, rtol=0, atol=2e-4 * np.abs(values).max(), err_msg=tag)
    expert = load_expert("chgnet")
    there = expert.embed(CRYSTALS, device="cuda")
    np.testing.assert_allclose(there, expert.embed(CRYSTALS, device="cpu"), rtol=0, atol=2e-4 * np.abs(there).max())


@needs_cuda
@pytest.mark.parametrize("trainable", ["none", "last_convolution", "all"])
def test_mixtures_are_trained_on_a_gpu_and_predict_anywhere(tmp_path: Path, trainable: str) -> None:
    card = cgcnn_expert(tmp_path, "toy", width=16)
    model = MoERegressor(
        [str(card.path)], head="mlp", n_members=1, width=8, trainable=trainable, max_epochs=30, random_state=0
    )
    model.set_params(device="cuda").fit(TASK, VALUES)
    there = model.predict(TASK)
    assert np.abs(there - VALUES).mean() < np.abs(np.median(VALUES) - VALUES).mean()
    np.testing.assert_allclose(model.set_params(device="cpu").predict(TASK), there, rtol=1e-3, atol=1e-3)
    assert {parameter.device.type for parameter in model.members_.parameters()} == {"cpu"}


@needs_cuda
def test_the_command_line_fits_tunes_and_predicts_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = cgcnn_expert(tmp_path / "zoo", "toy", width=16)
    settings = ["--experts", str(card.path), "--model.head", "mlp", "--model.trainable", "all", "--model.width", "8"]
    assert main(["fit", *settings, "--trainer.max_epochs", "2", "--device", "cuda"]) == 0
    (tmp_path / "crystals").mkdir()
    for number, structure in enumerate(CRYSTALS[:4]):
        structure.to(str(tmp_path / "crystals" / f"{number}.cif"))
    checkpoint = "runs/dcdft/version_0/checkpoints/best.ckpt"
    assert main(["predict", "crystals", "--ckpt_path", checkpoint, "--device", "cuda"]) == 0
    assert main(["test", "--ckpt_path", checkpoint, "--data.dataset", "dcdft", "--device", "cuda"]) == 0


@needs_cuda
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("only", ["toy_networks", "cgcnn_toy_difference"])
def test_pretraining_learns_on_a_gpu(tmp_path: Path, only: str, precision: str) -> None:
    trainer = {"logger": False, "precision": precision}
    data = write_binaries(tmp_path)
    cards = run(write_recipe(tmp_path), data, tmp_path, only=only, device="cuda", workers=1, trainer=trainer)
    metrics = cards.get("toy_difference", cards.get("cgcnn_toy_difference")).metrics  # type: ignore[union-attr]
    assert metrics["validation_mae"] < 0.8 * metrics["validation_median_mae"]
