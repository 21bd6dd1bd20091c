"""A benchmark of two small tasks in a folder, methods for it that are quick, slow or broken, and its sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pymatgen.core import Lattice, Structure

from benchmarks import sweep
from benchmarks.cells.results import AUDITS, read_result
from benchmarks.methods.problem import Outcome, Problem
from moe_mat.engines import ENGINES, InlineEngine
from moe_mat.tasks import Evidence, build_task, read_task_card

TASKS = ("toy_gap", "toy_volume")
N_CRYSTALS = 40
# What may differ between two runs of a cell.
PASSING = ("seconds", "peak_memory_mib", "sha256", "commit")


def write_tasks(folder: Path) -> tuple[Path, Path]:
    """Cards and prepared data of both tasks: the folders ``cards`` and ``data``."""
    rng = np.random.default_rng(0)
    elements = rng.choice(["Na", "K", "Rb", "Li"], N_CRYSTALS)
    lengths = rng.uniform(3, 5, N_CRYSTALS)
    structures = [
        Structure(Lattice.cubic(a), [element, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        for a, element in zip(lengths, elements, strict=True)
    ]
    values = {"toy_gap": 8 / lengths + rng.normal(0, 0.05, N_CRYSTALS), "toy_volume": lengths**3}
    cards, data = folder / "cards", folder / "data"
    cards.mkdir(parents=True)
    for number, name in enumerate(TASKS):
        source = pd.DataFrame({"id": [f"c{i}" for i in range(N_CRYSTALS)], name: values[name], "structure": structures})
        card = {
            "task": name,
            "title": name.replace("_", " "),
            "unit": "eV",
            "quantity": "band_gap",
            "rows": "published",
            "fidelity": "published rows",
            "recipe": {"dataset": f"toys{number}", "target": [name], "material_id": "id", "exact": True},
            "evidence": {"n_rows": N_CRYSTALS, **_moments(values[name])},
            "published": {
                "source": "somebody",
                "test_mae": {method: {"mean": 0.5, "sd": 0.1} for method in ("MoE-(18)", "MoMa (Full)")},
            },
            "matbench": None,
        }
        path = cards / f"{name}.yaml"
        path.write_text(yaml.safe_dump(card), encoding="utf-8")
        build_task(read_task_card(path), data, load={f"toys{number}": source}.__getitem__)
    return cards, data


def _moments(values: np.ndarray) -> dict[str, float]:
    evidence = Evidence.of(values)
    return {"mean": evidence.mean, "std": evidence.std}


def write_method(folder: Path, name: str, **card: Any) -> str:
    """A method card; returns what ``--methods`` takes."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"method": name, "title": name, **card}), encoding="utf-8")
    return str(path)


def noisy_median(problem: Problem, experts: Any, settings: Any, candidates: Any) -> Outcome:
    """The median and some seeded noise, after a while."""
    import time

    time.sleep(settings.get("seconds", 0.0))
    noise = np.random.default_rng(problem.seed).normal(0, 0.1, len(problem.test))
    constant = float(np.median(problem.train[1]))
    return Outcome(float(np.abs(problem.val[1] - constant).mean()), constant + noise, std=np.abs(noise))


def broken(problem: Problem, experts: Any, settings: Any, candidates: Any) -> Outcome:
    """Fails where the largest training target is beyond a limit."""
    if problem.train[1].max() > settings["limit"]:
        raise RuntimeError("no way with such targets")
    return noisy_median(problem, experts, settings, candidates)


def toy_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Write the toy tasks; gives the command line of a sweep over them, run in this process."""
    cards, data = write_tasks(folder)
    monkeypatch.setitem(ENGINES, "processes", InlineEngine)  # what a sweep does, without waiting for workers

    def run(*arguments: str, output: str = "results") -> int:
        options = ["--cards", str(cards), "--data", str(data), "--output", str(folder / output)]
        return sweep.main([*options, *arguments])

    return run


def numbers(folder: Path) -> dict[str, dict]:
    """All results of a folder without what may differ."""
    return {
        str(path.relative_to(folder)): {k: v for k, v in read_result(path).items() if k not in PASSING}
        for path in sorted(folder.glob("*/*.json"))
        if path.parent.name != AUDITS
    }
