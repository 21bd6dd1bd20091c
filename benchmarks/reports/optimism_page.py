"""The page on how much choices among alternatives owe to the tasks on which they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from benchmarks.reports.document import Document, Table
from benchmarks.reports.optimism import Alternatives, Criterion, Key, Redone, halve, redo
from moe_mat.tasks import TaskCards

N_HALVINGS = 10
CRITERIA: tuple[Criterion, ...] = ("validation", "test")
# Crystals that two data sets share, as part of the smaller one (the same reduced formula, number of atoms, and volume
# an atom to 0.1 Å^3; crystals that were relaxed anew do not count): the two of phonons all; 70 % of these, 94 % of
# dielectric_constant and 86 % of piezoelectric_tensor are in matbench_dielectric. Of other pairs it is at most 18 %.
PERTURBATION_THEORY = {
    "dielectric_constant",
    "matbench_dielectric",
    "matbench_phonons",
    "phonon_dielectric_mp",
    "piezoelectric_tensor",
}
HOW = (
    "An alternative is chosen on one half of the tasks and judged by the other; both halves take both roles. Chosen is "
    "the one whose MAE over that of `{baseline}`, mean over a task's cells and then over tasks, is lowest: by "
    "validation, as one should, and by test, the worst that one could do. Its *gain* is how much lower its test MAE is "
    "than that of `{baseline}`, in the same mean. *Optimism* is its gain where it was chosen minus its gain on the "
    "other half, mean ± standard deviation over halvings; against any other alternative than `{baseline}` it would be "
    "the same. *Regret* is what the best alternative of the other half gains more there. After Cawley and Talbot, J. "
    "Mach. Learn. Res. 11, 2079 (2010)."
)
KEPT_TOGETHER = (
    "Tasks from the same *data set* (that of the task's recipe) are in the same half; the smaller half has at least a "
    "third of the tasks. Data sets share crystals too, most of all the five of the Materials Project's perturbation "
    "theory (dielectric, piezoelectric, phonons). Kept together by *crystals*, these are in the same half as well. "
    "Halvings are drawn at random with seed {seed}, none twice: ten, or as many as there are."
)
CAUTIONS = [
    "Alternatives that were tried and whose cells are not here do not count.",
    "What is good for some kinds of tasks and not for others counts as optimism too, as it does on a new task.",
    "Half of the tasks choose less surely than all. The choice of all is less optimistic than this, by a factor of "
    "the square root of two where alternatives differ by noise alone.",
    "Halvings share tasks: the standard deviation over them is no standard error.",
]


def build(found: Alternatives, cards: TaskCards, *, seed: int, by_hand: Sequence[str] = ()) -> tuple[Document, str]:
    """The page, and its first sentence, which says all in one.

    Args:
        found: the alternatives.
        cards: of the tasks, which say from which data set these are.
        seed: of the halvings.
        by_hand: methods that were left out of the alternatives beforehand.

    Raises:
        ValueError: a task has no card, or the tasks cannot be halved.
    """
    datasets = [cards.of(task).recipe.dataset for task in found.tasks]
    joined = ["perturbation theory" if dataset in PERTURBATION_THEORY else dataset for dataset in datasets]
    halvings = halve(datasets, n_halvings=N_HALVINGS, seed=seed)
    redone = {criterion: redo(found, halvings, criterion) for criterion in CRITERIA}
    sentence = summary(found, redone)
    document = Document("How much was tuned on the test")
    document.add(sentence, HOW.format(baseline=found.names[0]))
    rows = [_summary_row(criterion, "data set", one) for criterion, one in redone.items()]
    if len(set(joined)) < len(set(datasets)):
        strict = halve(joined, n_halvings=N_HALVINGS, seed=seed)
        rows += [_summary_row(criterion, "crystals", redo(found, strict, criterion)) for criterion in CRITERIA]
    header = ["chosen by", "kept together by", "halvings", "choice of all tasks", "its gain on all", "chosen on a half"]
    header += ["gain where chosen", "gain on the other half", "optimism", "against the choice of all", "regret"]
    document.add(Table(header, rows, text=["kept together by", "choice of all tasks"]))
    document.add(KEPT_TOGETHER.format(seed=seed))
    document.add(CAUTIONS)
    document.add((2, "Halvings"), _halves(datasets, halvings))
    for criterion, one in redone.items():
        document.add((2, f"Choices by {criterion}"), _choices(one))
    _what_counts(document, found, by_hand)
    return document, sentence


def summary(found: Alternatives, redone: Mapping[Criterion, Redone]) -> str:
    """One sentence."""
    by = {criterion: _percent(float(one.optimism.mean())) for criterion, one in redone.items()}
    return (
        f"Choosing among {len(found.names)} alternatives, redone on half of the {len(found.tasks)} tasks and scored on "
        f"the other half, is optimistic by {by['validation']} of the MAE when done by validation errors, and would be "
        f"by {by['test']} by test errors (mean over {len(redone['test'].outcomes)} random halvings)."
    )


def _summary_row(criterion: str, together: str, one: Redone) -> list[str]:
    same = sum(outcome.chosen == one.on_all for outcome in one.flat)
    spread = f" ± {one.optimism.std(ddof=1):.2%}" if len(one.optimism) > 1 else ""
    return [
        criterion,
        together,
        str(len(one.outcomes)),
        f"`{one.on_all}`",
        _percent(one.gain_on_all),
        f"{same}/{len(one.flat)}",
        _percent(fmean(outcome.gain for outcome in one.flat)),
        _percent(fmean(outcome.gain_elsewhere for outcome in one.flat)),
        f"{_percent(float(one.optimism.mean()))}{spread}",
        _percent(fmean(outcome.against_all for outcome in one.flat)),
        f"{fmean(outcome.regret for outcome in one.flat):.2%}",
    ]


def _halves(datasets: Sequence[str], halvings: np.ndarray) -> Table:
    def words(half: np.ndarray) -> str:
        inside = [dataset for dataset, is_inside in zip(datasets, half, strict=True) if is_inside]
        return ", ".join(f"{name} ({inside.count(name)})" for name in sorted(set(inside)))

    halves = ["first half: data sets (tasks)", "second half"]
    rows = [[str(n), words(first), words(~first)] for n, first in enumerate(halvings, start=1)]
    return Table(["halving", *halves], rows, text=halves)


def _choices(one: Redone) -> Table:
    rows = []
    for n, pair in enumerate(one.outcomes, start=1):
        for half, outcome in zip(("first", "second"), pair, strict=True):
            gains = outcome.gain, outcome.gain_elsewhere, outcome.optimism, outcome.against_all
            numbers = [*map(_percent, gains), f"{outcome.regret:.2%}"]
            rows.append([f"{n}, {half}", f"`{outcome.chosen}`", *numbers])
    header = ["halving, half", "chosen", "gain there", "gain on the other half", "optimism"]
    return Table([*header, "against the choice of all", "regret"], rows, text=["chosen"])


def _what_counts(document: Document, found: Alternatives, by_hand: Sequence[str]) -> None:
    document.add((2, "Alternatives"), "Gains on all tasks, on the cells that all alternatives have.")
    n_cells = len(found.results) // len(found.names)
    gains = {criterion: 0.0 - found.errors[criterion].mean(axis=1) for criterion in CRITERIA}
    rows = [
        [f"`{name}`", *(_percent(gains[c][i]) for c in CRITERIA), str(n_cells), str(len(found.unshared[name]))]
        for i, name in enumerate(found.names)
    ]
    document.add(Table(["alternative", "validation", "test", "cells", "cells left out"], rows))
    shared = [(r["task"], r["split"], r["seed"]) for r in found.results[:n_cells]]
    document.add((2, "What counts"), f"Cells that count, {n_cells} an alternative: {cells_in_words(shared)}.")
    same: dict[str, list[str]] = {}
    for name, tasks in sorted(found.too_few.items()):
        same.setdefault(f"all, as there are too few tasks: {', '.join(tasks)}", []).append(name)
    for name, cells in found.unshared.items():
        if cells:
            same.setdefault(cells_in_words(cells), []).append(name)
    if by_hand:
        same["all, by hand"] = sorted(by_hand)
    document.add("Left out, cells because not all alternatives have them:" if same else "Nothing is left out.")
    document.add([f"{', '.join(f'`{name}`' for name in names)}: {words}" for words, names in same.items()])
    document.add(f"Commits of the cells: {', '.join(_noted(r.get('commit') for r in found.results))}.")
    versions = {name for result in found.results for name in result.get("versions", {})}
    document.add(
        [
            f"{name} {', '.join(_noted(r.get('versions', {}).get(name) for r in found.results))}"
            for name in sorted(versions)
        ]
    )


def cells_in_words(cells: Sequence[Key]) -> str:
    """Cells by their splits, tasks with the same ones together."""
    splits: dict[str, list[str]] = {}
    for task, split, seed in sorted(cells):
        splits.setdefault(task, []).append(f"{split}" if seed == 0 else f"{split} (seed {seed})")
    tasks: dict[str, list[str]] = {}
    for task, numbers in splits.items():
        tasks.setdefault(" ".join(numbers), []).append(task)
    return "; ".join(f"splits {numbers} of {', '.join(names)}" for numbers, names in tasks.items())


def _noted(values: Iterable[str | None]) -> list[str]:
    return sorted({value or "not noted" for value in values})


def _percent(value: float) -> str:
    return f"{value:+.2%}"
