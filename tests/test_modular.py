"""The modular methods of the benchmark and their ablations, on small tasks and a small hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_compose import CRYSTALS, VALUES, names
from toy_benchmark import toy_sweep, write_method
from toy_hub import hub

from benchmarks.cells.results import read_result
from benchmarks.methods import modular
from benchmarks.methods.cards import load_method
from benchmarks.methods.problem import Problem
from moe_mat.moma.composition import Composition, compose

TUNED = {
    "head": "mlp",
    "n_members": 1,
    "n_gates": 1,
    "batch_size": 16,
    "max_epochs": 2,
    "trainable": "all",
    "width": 8,
    "hidden": [8],
    "dropout": 0.0,
}
FROZEN = {"frozen_gate": True, "n_members": 1, "n_gates": 1, "max_epochs": 2}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "moma-full": ("full", {**TUNED, "weights": "amc"}),
    "moma-adapter": ("adapter", {**TUNED, "weights": "amc", "compose": {"entropy": 0.1}}),
    "moma-uniform-selected": ("full", {**TUNED, "weights": "uniform_selected"}),
    "moma-uniform-all": ("full", {**TUNED, "weights": "uniform_all"}),
    "moma-random": ("full", {**TUNED, "weights": "random"}),
    "moma-softmax": ("full", {**TUNED, "weights": "softmax"}),
    "moma-frozen": ("full", FROZEN),
    "moma-frozen-entropy": ("full", {**FROZEN, "compose": {"entropy": 0.03}}),
    "moma-frozen-uniform": ("full", {**FROZEN, "weights": "uniform_all"}),
    "moma-frozen-random": ("full", {**FROZEN, "weights": "random"}),
    "moma-start": ("full", {"n_members": 1, "n_gates": 1, "max_epochs": 2}),
}


@pytest.fixture
def problem() -> Problem:
    return Problem((CRYSTALS[:24], VALUES[:24]), (CRYSTALS[24:30], VALUES[24:30]), CRYSTALS[30:], 0)


def test_every_method_solves_the_toy_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = toy_sweep(tmp_path, monkeypatch)
    methods = []
    for kind in ("full", "adapter"):
        hub(tmp_path / kind, kind=kind)
    for name, (kind, settings) in METHODS.items():
        known = load_method(name)
        assert all(Path(expert).stem.startswith(f"moma_{kind}_") for expert in known.experts)
        # Quicker than the card, but of the same kind and with the same rule.
        assert set(settings) - {"max_epochs", "compose"} <= set(known.settings)
        assert settings.get("weights") == known.settings.get("weights")
        experts = [str(tmp_path / kind / f"{kind}_*")]
        methods.append(write_method(tmp_path, name, kind=known.kind, experts=experts, settings=settings))
    finetune = load_method("finetune")
    assert {**finetune.settings, "weights": "amc"} == load_method("moma-full").settings
    backbone = [str(tmp_path / "full" / "toy_backbone.yaml")]
    methods.append(write_method(tmp_path, "finetune", kind=finetune.kind, experts=backbone, settings=TUNED))
    few = ["--tasks", "toy_gap", "--splits", "0", "--n-labels", "10", "--seeds", "0", "1"]
    assert toy(*few, "--methods", *methods) == 0
    for name in [*METHODS, "finetune"]:
        results = [read_result(tmp_path / "results" / name / f"toy_gap.0.{seed}.10.json") for seed in (0, 1)]
        assert [result["rows"]["train"] for result in results] == [8, 8]
        # Each seed draws other labels.
        assert results[0]["predictions"] != results[1]["predictions"]
        if name != "finetune":
            assert sum(results[0]["gate_weights"].values()) == pytest.approx(1, abs=1e-3)
            assert results[0]["chosen"]["composition"]["modules"] >= 1


def test_weights_are_what_their_names_say(tmp_path: Path) -> None:
    hub(tmp_path, n=4)
    found = compose(names(tmp_path), CRYSTALS, VALUES)
    n = len(found.selected)
    assert n < 4
    rules = {name: rule(found, 0) for name, rule in modular.WEIGHTS.items()}
    assert rules["amc"] == found.weights
    assert rules["uniform_selected"] == dict.fromkeys(found.selected, 1 / n)
    assert rules["uniform_all"] == dict.fromkeys(found.weights, 0.25)
    assert sorted(rules["softmax"], key=rules["softmax"].__getitem__) == sorted(
        found.proxy_errors, key=lambda tag: -found.proxy_errors[tag]
    )
    for seed in range(5):
        drawn = modular.WEIGHTS["random"](found, seed)
        assert list(drawn.values()) == [1 / n] * n
        assert set(drawn) <= set(found.weights)
    assert len({tuple(modular.WEIGHTS["random"](found, seed)) for seed in range(20)}) > 1


def test_a_module_that_is_not_selected_changes_no_prediction(tmp_path: Path, problem: Problem) -> None:
    hub(tmp_path, n=4)
    all_modules = names(tmp_path)
    found: Composition = compose(all_modules, *problem.train)
    used = [name for name in all_modules if found.weights[Path(name).stem] > 0]
    assert used != all_modules
    with_all, without = (modular.merged(problem, modules, {**TUNED}) for modules in (all_modules, used))
    assert with_all.predictions.tobytes() == without.predictions.tobytes()
    assert with_all.val_mae == without.val_mae


def test_cards_load_with_the_modules_of_a_folder(tmp_path: Path) -> None:
    hub(tmp_path)
    for name in [*METHODS, "finetune", "moma-gate"]:
        method = load_method(name, experts=[str(tmp_path)])
        assert method.load()
        assert len(method.experts) == 4


def test_frozen_weights_stay_and_a_start_is_left(tmp_path: Path, problem: Problem) -> None:
    hub(tmp_path)
    settings = {"n_members": 1, "n_gates": 1, "max_epochs": 10}
    frozen = modular.gated(problem, names(tmp_path), {**settings, "frozen_gate": True})
    equal = modular.gated(problem, names(tmp_path), {**settings, "frozen_gate": True, "weights": "uniform_all"})
    assert list((equal.gate_weights or {}).values()) == pytest.approx([1 / 3] * 3, abs=1e-6)
    start = modular.gated(problem, names(tmp_path), settings)
    expected = compose(names(tmp_path), *problem.train).weights
    assert frozen.gate_weights == pytest.approx(expected, abs=1e-5)
    assert start.gate_weights != pytest.approx(expected, abs=1e-2)
    assert np.isfinite(start.predictions).all()
