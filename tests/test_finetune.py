"""Fine-tuning of whole encoders, and gates that start at given weights: in Python and by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from test_compose import CRYSTALS, N_CRYSTALS, VALUES, names, write_task
from toy_experts import cgcnn_expert
from toy_hub import backbone, hub, module

from moe_mat import MoERegressor
from moe_mat.cli.main import main
from moe_mat.mixture.gate import CrystalGate, Gate
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.zoo.experts import load_expert
from moe_mat.zoo.find import find_cards

TUNED: dict[str, Any] = {
    "trainable": "all",
    "width": 8,
    "hidden": [16],
    "dropout": 0.0,
    "learning_rate": 0.01,
    "tuning_rate": 0.003,
}


def regressor(expert: str, *, max_epochs: int = 40, **settings: Any) -> MoERegressor:
    return MoERegressor(
        [expert],
        head="mlp",
        n_members=1,
        n_gates=1,
        batch_size=16,
        max_epochs=max_epochs,
        **{**TUNED, **settings},
        random_state=0,
    )


def test_fine_tuning_learns_what_the_frozen_encoder_does_not_tell(tmp_path: Path) -> None:
    card = backbone(tmp_path)
    expert = str(card.path)
    train, test = (CRYSTALS[:30], VALUES[:30]), (CRYSTALS[30:], VALUES[30:])
    errors = {}
    for trainable in ("none", "all"):
        model = regressor(expert, trainable=trainable).fit(*train)
        errors[trainable] = np.abs(model.predict(test[0]) - test[1]).mean()
    assert errors["all"] < 0.5 * errors["none"]
    assert model.gate_weights_.to_dict() == {card.tag: 1.0}

    # The expert itself stays as it is, and what was tuned is not it any more; its statistics are.
    tuned = model.members_[0].head.tuned
    before = load_expert(card.path).state_dict()
    after = {name.removeprefix("experts.0."): value for name, value in tuned.state_dict().items()}
    assert set(after) == set(before)
    for name, value in before.items():
        assert after[name].equal(value) == ("running" in name or "num_batches" in name), name


def test_the_head_learns_first_and_the_encoder_later(tmp_path: Path) -> None:
    card = backbone(tmp_path)
    waiting = regressor(str(card.path), max_epochs=3, tune_from_epoch=3).fit(CRYSTALS, VALUES)
    before = load_expert(card.path).state_dict()
    for name, value in waiting.members_[0].head.tuned.state_dict().items():
        assert value.equal(before[name.removeprefix("experts.0.")])


def test_several_encoders_are_tuned_under_one_gate(tmp_path: Path) -> None:
    _, *cards = hub(tmp_path)
    model = MoERegressor(names(tmp_path), head="mlp", n_members=1, max_epochs=2, **TUNED, random_state=0)
    model.fit(CRYSTALS, VALUES)
    assert len(model.gate_weights_) == len(cards)
    assert np.isfinite(model.predict(CRYSTALS[:5])).all()


def test_adapters_in_chgnet_are_tuned(tmp_path: Path) -> None:
    card = module(find_cards("chgnet_conv4")[0], "adapted", kind="adapter", seed=1, folder=tmp_path)
    model = regressor(str(card.path), max_epochs=2).fit(CRYSTALS[:10], VALUES[:10])
    assert np.isfinite(model.predict(CRYSTALS[:3])).all()
    after = model.members_[0].head.tuned.state_dict()
    before = load_expert(card.path).state_dict()
    assert not after["experts.0.encoder.adapters.3.up.weight"].equal(before["encoder.adapters.3.up.weight"])


def test_experts_that_cannot_be_tuned_are_named(tmp_path: Path) -> None:
    card = backbone(tmp_path)
    other = cgcnn_expert(tmp_path, "short_sighted", width=16, cutoff=4.0)
    for experts, message in (
        (["magpie"], "expert magpie has no encoder with weights"),
        ([str(card.path), str(other.path)], "read different graphs"),
    ):
        with pytest.raises(ValueError, match=message):
            MixtureOfExperts(experts=experts, head="mlp", trainable="all", width=8)
    with pytest.raises(ValueError, match="head 'kernel' has no setting trainable"):
        MixtureOfExperts(experts=[str(card.path)], trainable="all")


def test_composed_tuned_tested_and_predicted_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub(tmp_path / "hub", kind="adapter")
    task = write_task(tmp_path)
    data = ["--data.path", str(task), "--data.target", "gap"]
    modules = str(tmp_path / "hub" / "adapter_*")
    assert main(["compose", str(task), "--target", "gap", "--modules", modules]) == 0
    quick = ["--trainer.max_epochs", "4", "--model.tune_from_epoch", "0"]
    assert main(["fit", "--config", "composed/merged.yaml", *data, *quick]) == 0
    run = tmp_path / "runs" / "task" / "version_0"
    told = pd.read_csv(run / "predictions.csv").query("part == 'test'").set_index("material_id")
    checkpoint = ["--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    assert main(["predict", *checkpoint, *data]) == 0
    predicted = pd.read_csv("predictions.csv").set_index("material_id")["gap_predicted"]
    assert len(predicted) == N_CRYSTALS
    np.testing.assert_allclose(predicted[told.index], told["gap_predicted"], rtol=1e-4)
    assert main(["test", *checkpoint, *data]) == 0
    # It is the tuned encoder that predicts: the head is no head of the untuned one.
    state = torch.load(checkpoint[1], weights_only=True)["state_dict"]
    untuned = load_expert(tmp_path / "composed" / "merged").state_dict()
    assert not state["head.tuned.experts.0.encoder.embedding.weight"].equal(untuned["encoder.embedding.weight"])


def test_the_mixture_starts_at_the_composition_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub(tmp_path / "hub")
    task = write_task(tmp_path)
    assert main(["compose", str(task), "--target", "gap", "--modules", str(tmp_path / "hub" / "full_*")]) == 0
    weights = yaml.safe_load(Path("composed/mixture.yaml").read_text())["model"]["initial_gate"]
    options = ["--model.frozen_gate", "true", "--model.n_gates", "1", "--trainer.max_epochs", "3"]
    data = ["--data.path", str(task), "--data.target", "gap"]
    assert main(["fit", "--config", "composed/mixture.yaml", *options, *data]) == 0
    kept = pd.read_csv("runs/task/version_0/gate_weights.csv", index_col="expert")["weight"]
    assert kept.to_dict() == pytest.approx(weights, abs=1e-6)


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_a_gate_starts_at_given_weights_and_keeps_or_leaves_them(tmp_path: Path, head: str) -> None:
    _, *cards = hub(tmp_path)
    given = {cards[0].tag: 0.6, cards[2].tag: 0.4}
    found = {}
    for frozen in (True, False):
        settings = {"initial_gate": given, "frozen_gate": frozen}
        model = MoERegressor(
            names(tmp_path), head=head, n_members=1, n_gates=1, max_epochs=5, **settings, random_state=0
        ).fit(CRYSTALS, VALUES)
        found[frozen] = model.gate_weights_
        assert np.isfinite(model.predict(CRYSTALS[:3])).all()
    np.testing.assert_allclose(found[True], [0.6, 0.0, 0.4], atol=1e-6)
    assert np.abs(found[False] - found[True]).max() > 0.01


@pytest.mark.parametrize("gate", [Gate(3, n_gates=2), CrystalGate(3, 4, n_gates=2, temperature=2.0)])
def test_start_of_a_gate(gate: Gate) -> None:
    weights = torch.tensor([2.0, 0.0, 6.0])
    gate.start_at(weights)
    shares = gate(torch.zeros(1, 3, 4))[0]
    expected = 0.9 * torch.tensor([0.25, 0.0, 0.75]) + 0.1 / 3
    torch.testing.assert_close(shares, expected.expand(2, -1), atol=0.01, rtol=0)
    assert not shares[0].equal(shares[1])  # or they would never part
    gate.start_at(weights, frozen=True)
    torch.testing.assert_close(gate(torch.zeros(1, 3, 4))[0, 0], torch.tensor([0.25, 0.0, 0.75]))
    assert not gate.logits.requires_grad


def test_gates_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    hub(tmp_path)
    for settings, message in (
        ({"initial_gate": {"nobody": 1.0}}, "initial_gate names nobody, but the experts are full_0"),
        ({"initial_gate": {"full_0": -1.0}}, "not negative, at least one of them positive"),
        ({"initial_gate": {}}, "not negative, at least one of them positive"),
        ({"frozen_gate": True}, "frozen_gate needs initial_gate"),
    ):
        with pytest.raises(ValueError, match=message):
            MixtureOfExperts(experts=names(tmp_path), **settings)
