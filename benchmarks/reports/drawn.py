"""What the script of the report's page draws: errors by task, and the crystals that were tested, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pymatgen.core import Composition

from benchmarks.cells.results import Result
from benchmarks.methods.cards import learned_from, title_of
from benchmarks.reports.bootstrap import Errors
from benchmarks.reports.findings import GOALS, Findings
from benchmarks.reports.modules import is_modular
from benchmarks.reports.scores import PUBLISHED, Key, gate_weights
from moe_mat.tasks import prepared_path

# Of each method, all of which are drawn.
N_WORST = 15
LEVEL = "90"
# Weights that are smaller are not drawn.
SMALL_WEIGHT = 0.003


def drawn(found: Findings, *, shown: Sequence[str], most: int, data: Path) -> dict[str, Any]:
    """Everything that is drawn.

    Args:
        found: What the report is made from.
        shown: Methods that are shown at first.
        most: Crystals that may be drawn of a task.
        data: Folder of prepared data, which knows the formulas; of tasks that are not there none are told.
    """
    weights = {method: gate_weights(found.results, method) for method in found.methods}
    methods = [
        {"name": one, "title": title_of(one), "learned_from": learned_from(one), "shown": one in shown}
        for one in found.methods
    ]
    told = [one for one in found.methods if one in shown or not is_modular(one)]
    return {
        "reference": found.reference,
        "goals": GOALS,
        "methods": methods,
        "tasks": [
            {
                **_errors(found, task),
                "crystals": _crystals(found, task, told, most=most, data=data),
                "gates": {one: _heavy(weights[one][task]) for one in found.methods if task in weights[one]},
            }
            for task in found.tasks
        ],
    }


def _errors(found: Findings, task: str) -> dict[str, Any]:
    card, unit = found.cards.of(task), found.cards.unit(task)
    known = [method for method in found.methods if Key(task, method) in found.scores]
    comparable = task == card.name and card.comparable
    return {
        "name": task,
        "title": card.title if task == card.name else f"{card.title} (Matbench)",
        "unit": "" if unit == "1" else unit,
        "published": {one: card.published[one].mean for one in PUBLISHED if comparable and one in card.published},
        "maes": {
            one: [found.scores[Key(task, one)].mean, *(found.interval(task, one) or (None, None))] for one in known
        },
    }


def _crystals(found: Findings, task: str, methods: Sequence[str], *, most: int, data: Path) -> dict[str, Any] | None:
    """The test crystals of a task, as columns; ``None`` where the reference method left no predictions.

    ``predicted`` has a column a method: the mean over the splits that test a crystal, and over seeds.
    """
    reference = found.errors.get(Key(task, found.reference))
    if reference is None:
        return None
    known = {one: found.errors[Key(task, one)] for one in methods if Key(task, one) in found.errors}
    same = {one: errors for one, errors in known.items() if errors.ids == reference.ids}
    kept = _chosen(list(same.values()), most=most)
    ids = [reference.ids[row] for row in kept]
    bounds = _bounds(found, task)
    formulas = _formulas(prepared_path(data, found.cards.of(task).name), ids)
    return {
        "n_all": len(reference.ids),
        "id": ids,
        "formula": [formulas.get(name, "") for name in ids],
        "true": reference.targets[kept],
        "lower": [bounds.get(name, (None, None))[0] for name in ids],
        "upper": [bounds.get(name, (None, None))[1] for name in ids],
        "n_splits": np.isfinite(reference.predictions[0]).sum(axis=1)[kept],
        "predicted": {one: _mean(errors)[kept] for one, errors in same.items()},
    }


def _mean(errors: Errors) -> NDArray[np.float64]:
    return np.asarray(np.nanmean(errors.predictions, axis=(0, 2)))


def _chosen(errors: Sequence[Errors], *, most: int) -> NDArray[np.intp]:
    """The worst crystals of every method, and others at random."""
    n_crystals = len(errors[0].ids)
    worst = np.unique([np.argsort(-one.by_crystal, kind="stable")[:N_WORST] for one in errors])
    others = np.setdiff1d(np.random.default_rng(0).permutation(n_crystals), worst, assume_unique=True)
    return np.sort(np.concatenate([worst, others])[: max(most, N_WORST)])


def _bounds(found: Findings, task: str) -> Mapping[str, tuple[float, float]]:
    """Crystal to the interval of the reference method, of the first split that tests it."""
    bounds: dict[str, tuple[float, float]] = {}
    of_task = [one for one in found.results if _is_whole(one, task, found.reference)]
    for one in sorted(of_task, key=lambda one: one["split"]):
        low, high = one["intervals"][LEVEL]
        for name, *sides in zip(one["ids"], low, high, strict=True):
            bounds.setdefault(name, (sides[0], sides[1]))
    return bounds


def _is_whole(one: Result, task: str, method: str) -> bool:
    mine = one["task"] == task and one["method"] == method and not one.get("n_labels") and one["seed"] == 0
    return mine and "intervals" in one


def _heavy(weights: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(((tag, one) for tag, one in weights.items() if one >= SMALL_WEIGHT), key=lambda pair: -pair[1])


def _formulas(path: Path, ids: Sequence[str]) -> dict[str, str]:
    """Formulas of crystals by what results call them: the material id, or the row where ids repeat."""
    if not path.is_file():
        return {}
    table = pq.read_table(path, columns=["material_id", "row", "species_at_sites"]).to_pydict()
    places = {str(name): place for column in ("row", "material_id") for place, name in enumerate(table[column])}
    elements = {name: table["species_at_sites"][places[name]] for name in ids if name in places}
    return {name: Composition(Counter(of)).reduced_formula for name, of in elements.items()}
