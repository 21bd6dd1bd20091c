"""The mixture under Lightning: what a checkpoint holds, and what stays frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_experts import cgcnn_expert
from toy_mixture import HEADS, finish, fit, new_model, predictions, synthetic

from moe_mat.crystals.datasets import load_quickstart
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.heads.last_convolution import partial_crystals
from moe_mat.mixture.module import MixtureOfExperts, gate_weights
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.experts import build_expert


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    """An expert of width 8, and one of width 6."""
    return [cgcnn_expert(tmp_path / "zoo", tag, width=width) for tag, width in (("useful", 8), ("noise", 6))]


# What a checkpoint holds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("finished", [False, True])
def test_a_checkpoint_is_plain_data_and_predicts_the_same(
    head: str, finished: bool, cards: list[ExpertCard], tmp_path: Path
) -> None:
    data = synthetic()
    model = new_model(cards, targets=["y"], head=head)
    path = fit(model, data, tmp_path)
    if finished:
        finish(model, data, ["y"])
        assert model.trainer is not None
        model.trainer.save_checkpoint(path, weights_only=False)
    content = torch.load(path, weights_only=True)  # refuses anything but tensors and plain Python
    assert content["hyper_parameters"]["experts"] == [str(card.path.resolve()) for card in cards]
    if head == "kernel":
        assert len(content["state_dict"]["head.processes.0.support"]) == (65 if finished else 50)
    loaded = MixtureOfExperts.load_from_checkpoint(path, weights_only=True)
    batch = data.part("test")
    torch.testing.assert_close(predictions(loaded, data), predictions(model, data), rtol=0, atol=0)
    with torch.no_grad():
        said, expected = loaded.eval().say(batch), model.say(batch)
        bounds = [one.intervals.bounds(said, 0.9) for one in (loaded, model)]
    torch.testing.assert_close([*said.predicted, *said[1:]], [*expected.predicted, *expected[1:]], equal_nan=True)
    torch.testing.assert_close(*bounds, rtol=0, atol=0, equal_nan=True)
    assert gate_weights(loaded, data.embeddings) == gate_weights(model, data.embeddings)


def test_a_checkpoint_of_other_experts_is_refused(cards: list[ExpertCard], tmp_path: Path) -> None:
    path = fit(new_model(cards, targets=["y"]), synthetic(), tmp_path)
    cgcnn_expert(cards[0].path.parent, "useful", width=8, seed=1)
    with pytest.raises(CardError, match="other versions of these experts: useful"):
        MixtureOfExperts.load_from_checkpoint(path, weights_only=True)


# What stays frozen ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", ["none", "last_convolution"])
def test_experts_are_byte_identical_after_a_fit(trainable: str, tmp_path: Path) -> None:
    cards = [cgcnn_expert(tmp_path / "zoo", f"expert{i}", seed=i) for i in range(2)]
    structures, table = load_quickstart()
    structures, experts = structures[:16], [build_expert(card) for card in cards]
    files = {path.name: path.read_bytes() for path in (tmp_path / "zoo").iterdir()}
    states = [{name: value.clone() for name, value in expert.state_dict().items()} for expert in experts]
    x = torch.from_numpy(np.concatenate([expert.embed(structures) for expert in experts], axis=1))
    data = EmbeddingDataModule(
        x,
        torch.tensor(table["bulk_modulus"].to_numpy()[:16, None], dtype=torch.float32),
        {"train": torch.arange(10), "val": torch.arange(10, 13), "test": torch.arange(13, 16)},
        ids=[str(row) for row in range(16)],
        partial=list(partial_crystals(experts, structures)) if trainable == "last_convolution" else None,
        batch_size=5,
    )
    model = new_model(cards, targets=["y"], head="mlp", width=None, trainable=trainable)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = fit(model, data, tmp_path / "run")
    after = model.state_dict()
    tuned = [name for name in after if "tuned.convolutions" in name]
    assert bool(tuned) == (trainable == "last_convolution")
    for kind in ("weight", "running_mean") if tuned else ():
        assert any((after[name] != before[name]).any() for name in tuned if name.endswith(kind))
    for expert, state in zip(experts, states, strict=True):
        assert not expert.training
        for name, value in expert.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    assert {path.name: path.read_bytes() for path in (tmp_path / "zoo").iterdir()} == files
    loaded = MixtureOfExperts.load_from_checkpoint(path, weights_only=True)
    torch.testing.assert_close(predictions(loaded, data), predictions(model, data), rtol=0, atol=0)
