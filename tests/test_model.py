"""The mixture under Lightning: what is learned, and what is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from toy_experts import cgcnn_expert
from toy_mixture import HEADS, ROWS, embeddings, finish, fit, new_model, predictions, synthetic, target_of

from moe_mat.mixture.batch import Batch
from moe_mat.mixture.module import gate_weights
from moe_mat.mixture.report import evaluate
from moe_mat.zoo.cards import ExpertCard


@pytest.fixture
def cards(tmp_path: Path) -> list[ExpertCard]:
    """An expert of width 8, and one of width 6."""
    return [cgcnn_expert(tmp_path / "zoo", tag, width=width) for tag, width in (("useful", 8), ("noise", 6))]


# What is learned ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"head": "kernel"},
        {"head": "inducing"},
        {"head": "kernel", "target_transform": "standardise", "n_gates": 1},
        *({"head": "mlp", "target_transform": kind} for kind in ("auto", "none", "standardise", "log", "asinh")),
        *({"head": "mlp", "loss": loss} for loss in ("mse", "mae")),
        {"head": "mlp", "gate": "crystal", "top_k": 1, "orthogonality": 0.0, "load_balance": 0.1},
        {"head": "mlp", "hidden": (), "dropout": 0.0},
    ],
    ids=lambda settings: "-".join(f"{value}" for value in settings.values()),
)
def test_every_setting_learns_in_the_targets_unit(
    settings: dict[str, Any], cards: list[ExpertCard], tmp_path: Path
) -> None:
    data = synthetic()
    rate = {"learning_rate": 0.1 if settings.get("target_transform") == "none" else 0.02}
    model = new_model(cards, targets=["y"], **(rate if settings["head"] == "mlp" else {}), **settings)
    fit(model, data, tmp_path, epochs=40)
    finish(model, data, ["y"])
    true = data.targets[ROWS["train"]]
    error = (predictions(model, data, "train") - true).abs().mean()
    assert error < 0.85 * (true - true.median()).abs().mean()


@pytest.mark.parametrize("head", HEADS)
def test_the_gate_finds_the_expert_that_knows(head: str, cards: list[ExpertCard], tmp_path: Path) -> None:
    data = synthetic()
    model = new_model(cards, targets=["y"], head=head)
    before = gate_weights(model, data.embeddings)
    fit(model, data, tmp_path, epochs=25)
    weights = gate_weights(model, data.embeddings)
    assert before["useful"] == pytest.approx(0.5, abs=0.02)
    assert weights["useful"] > 0.7
    assert sum(weights.values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("gate", ["global", "crystal"])
def test_weights_sum_to_1_over_at_most_top_k_experts(gate: str, tmp_path: Path) -> None:
    cards = [cgcnn_expert(tmp_path / "zoo", f"expert{i}", width=2) for i in range(7)]
    data = synthetic()
    model = new_model(cards, targets=["y"], head="mlp", gate=gate, top_k=3, n_gates=2)
    fit(model, data, tmp_path)
    _, weights = model.head.embed(data.part("train", "test"))
    assert weights.shape == (65, 2, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(65, 2))
    assert ((weights > 0).sum(-1) <= 3).all()
    assert (weights >= 0).all()


def test_a_crystal_gate_sends_crystals_to_different_experts(cards: list[ExpertCard], tmp_path: Path) -> None:
    x = embeddings()
    left = x[:, 0] > 0
    data = synthetic(torch.where(left, x[:, 1], x[:, 9])[:, None])  # the first expert knows half of them, and which
    model = new_model(cards, targets=["y"], head="mlp", gate="crystal", learning_rate=0.02, gate_learning_rate=0.05)
    fit(model, data, tmp_path, epochs=40)
    _, weights = model.head.embed(Batch(x[ROWS["train"]], None, []))
    of_first = weights[:, :, 0].mean(1)
    mask = left[ROWS["train"]]
    assert of_first[mask].mean() > of_first[~mask].mean() + 0.1


def test_load_balance_keeps_every_expert_in_use(cards: list[ExpertCard], tmp_path: Path) -> None:
    data, spread = synthetic(), []
    for strength in (0.0, 10.0):
        model = new_model(cards, targets=["y"], head="mlp", load_balance=strength)
        fit(model, data, tmp_path / str(strength), epochs=20)
        spread.append(float(np.std(list(gate_weights(model, data.embeddings).values()))))
    assert spread[1] < 0.2 * spread[0]


@pytest.mark.parametrize("head", HEADS)
def test_targets_with_gaps_are_learned_together(head: str, cards: list[ExpertCard], tmp_path: Path) -> None:
    y = target_of(embeddings())
    targets = torch.stack([y, 1e-3 * y], dim=1)
    targets[1::3, 1] = torch.nan
    data = synthetic(targets)
    model = new_model(
        cards, targets=["large", "small"], head=head, **({"learning_rate": 0.02} if head == "mlp" else {})
    )
    fit(model, data, tmp_path, epochs=40)
    report = finish(model, data, ["large", "small"])
    test = report.metrics[report.metrics["part"] == "test"].set_index("target")
    assert list(test["n"]) == [15, int(targets[ROWS["test"], 1].isfinite().sum())]
    assert (test["mae"] < test["median_mae"]).all()
    # What is missing cannot have had a say, and what is predicted needs no true value.
    assert predictions(model, data).isfinite().all()
    assert report.predictions["small_predicted"].notna().all()


def test_missing_values_do_not_reach_the_loss(cards: list[ExpertCard]) -> None:
    x = embeddings()
    targets = torch.stack([x[:, 0], x[:, 1]], dim=1)
    targets[:, 1] = torch.where(torch.arange(80) < 40, targets[:, 1], torch.nan)
    model = new_model(cards, targets=["a", "b"], head="mlp", dropout=0.0)
    model.transform.fit(targets)
    model.head.fit_constants(Batch(x, targets, []))
    whole, _ = model.head.loss(Batch(x, targets, []))
    whole.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    plain = model.head.loss(Batch(x, targets, []))[1]
    scaled = model.transform(targets)
    outputs = model.head.network(model.head.embed(Batch(x, None, []))[0])
    present = targets.isfinite()
    expected = torch.nn.functional.huber_loss(outputs[present], scaled[present])
    torch.testing.assert_close(plain, expected)


# What is reported -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_metrics_are_those_of_scikit_learn(head: str, n_targets: int, cards: list[ExpertCard], tmp_path: Path) -> None:
    y = target_of(embeddings())
    targets = torch.stack([y, -2 * y + 5], dim=1)[:, :n_targets]
    if n_targets == 2:
        targets[::4, 1] = torch.nan
    data, names = synthetic(targets, batch_size=7), ["a", "b"][:n_targets]
    model = new_model(cards, targets=names, head=head)
    fit(model, data, tmp_path)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    (logged,) = pl.Trainer(accelerator="cpu", **quiet).test(model, datamodule=data, verbose=False)
    report = evaluate(model, data, names, parts=("test",)).metrics.set_index("target")
    predicted = predictions(model, data).numpy()
    maes = []
    for column, name in enumerate(names):
        true = targets[ROWS["test"], column].numpy()
        present = np.isfinite(true)
        true, ours = true[present], predicted[present, column]
        expected = {
            "mae": mean_absolute_error(true, ours),
            "rmse": root_mean_squared_error(true, ours),
            "r2": r2_score(true, ours),
        }
        for metric, value in expected.items():
            postfix = f"/{name}" if n_targets > 1 else ""
            assert logged[f"test_{metric}{postfix}"] == pytest.approx(value, rel=1e-4)
            assert report.loc[name, metric] == pytest.approx(value, rel=1e-4)
        train = targets[ROWS["train"], column]
        median = train[train.isfinite()].median().item()
        assert report.loc[name, "median_mae"] == pytest.approx(np.abs(true - median).mean(), rel=1e-4)
        maes.append(expected["mae"] / (train[train.isfinite()].std(correction=0).item() if n_targets > 1 else 1))
    assert logged["test_mae"] == pytest.approx(np.mean(maes), rel=1e-4)


def test_one_validation_row_is_enough(cards: list[ExpertCard], tmp_path: Path) -> None:
    data = synthetic()
    data.rows = {"train": torch.arange(6), "val": torch.tensor([6]), "test": torch.tensor([7])}
    model = new_model(cards, targets=["y"])
    fit(model, data, tmp_path)
    report = finish(model, data, ["y"]).metrics
    assert np.isfinite(report["mae"]).all()
    assert np.isnan(report["r2"].iloc[-1])
