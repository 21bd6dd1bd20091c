"""Results again without the test rows that experts have seen: pure functions of results and audits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.cells.audits import Audit, Seen
from benchmarks.cells.results import Result, is_finished
from moe_mat.tasks import TaskCards


@dataclass(frozen=True, slots=True)
class Kept:
    """Results on the rows that remain.

    Attributes:
        results: with the MAE of these rows as ``test_mae``; those without any row left are not there.
        rows: (task, method) -> test rows left and test rows in all, of all splits together.
        not_audited: methods that used experts, or rows, that the audits do not know, with their tasks.
        at_most: (task, method) whose experts may have learned the label from crystals that are not known one by one.
    """

    results: Sequence[Result]
    rows: Mapping[tuple[str, str], tuple[int, int]]
    not_audited: Mapping[str, Sequence[str]]
    at_most: frozenset[tuple[str, str]] = frozenset()


def without_seen(
    cards: TaskCards,
    results: Sequence[Result],
    audits: Mapping[str, Audit],
    kind: str,
    *,
    experts_of: str | None = None,
) -> Kept:
    """Take away the test rows that the experts of each result have seen.

    Args:
        cards: of the tasks.
        results: those with all labels and with predictions count.
        audits: by task.
        kind: which rows remain, one of `moe_mat.audit.LEFT`.
        experts_of: a method whose experts are meant, whatever a result's own: all methods are then on the same rows.
    """
    others = {r["task"]: r.get("experts", []) for r in results if r["method"] == experts_of}
    kept: list[Result] = []
    rows: dict[tuple[str, str], tuple[int, int]] = {}
    not_audited: dict[str, dict[str, None]] = {}
    at_most: set[tuple[str, str]] = set()
    for result in results:
        if not is_finished(result) or result.get("n_labels") or "predictions" not in result:
            continue
        task, method = result["task"], result["method"]
        experts = result.get("experts", []) if experts_of is None else others.get(task, [])
        audit = audits.get(cards.of(task).name)
        if not experts:
            left = np.ones(len(result["ids"]), dtype=bool)
        elif audit is None or not audit.knows(experts, result["ids"]):
            not_audited.setdefault(method, {})[task] = None
            continue
        else:
            left = audit.left(experts, result["ids"], kind)
            at_most |= {(task, method)} if audit.possibly(experts) else set()
        before = rows.get((task, method), (0, 0))
        rows[task, method] = before[0] + int(left.sum()), before[1] + len(left)
        if left.any():
            kept.append({**result, "test_mae": mae(result, left)})
    return Kept(kept, rows, {method: list(tasks) for method, tasks in not_audited.items()}, frozenset(at_most))


def mae(result: Result, rows: np.ndarray) -> float:
    """The mean absolute error of some of a result's test rows ``[n]``."""
    errors = np.abs(np.subtract(result["predictions"], result["targets"]))
    return float(errors[rows].mean())


@dataclass(frozen=True, slots=True)
class Group:
    """Experts that have seen the same of every task, and what that was.

    Attributes:
        experts: their tags.
        datasets: sources of which each crystal is known; empty where none is.
        quantities: learned from these.
        unlisted: sources of which the crystals are not known, with what was learned from them.
        estimated: whether some matches of crystals are estimated.
    """

    experts: tuple[str, ...]
    datasets: tuple[str, ...]
    quantities: tuple[str, ...]
    unlisted: tuple[str, ...]
    estimated: bool

    @property
    def label(self) -> str:
        """The first expert, and how many more there are."""
        return self.experts[0] + (f" +{len(self.experts) - 1}" if len(self.experts) > 1 else "")


def groups(audits: Mapping[str, Audit], experts: Sequence[str]) -> list[Group]:
    """Experts put together where the audits tell the same of them, in their order.

    Args:
        audits: by task.
        experts: tags of those that count.
    """
    known: dict[str, list[tuple[str, Seen]]] = {}
    for task, audit in audits.items():
        for tag in audit.experts.keys() & set(experts):
            known.setdefault(tag, []).append((task, audit.seen[audit.experts[tag]]))
    alike: dict[Hashable, list[str]] = {}
    for tag in experts:
        if tag in known:
            names = {(*one.datasets, "and", *map(str, one.unlisted_sets)) for _, one in known[tag]}
            flags = sorted((task, one.flags) for task, one in known[tag])
            alike.setdefault((frozenset(names), tuple(flags)), []).append(tag)

    def group(tags: Sequence[str]) -> Group:
        seen = [one for tag in tags for _, one in known[tag]]
        return Group(
            experts=tuple(tags),
            datasets=tuple(dict.fromkeys(name for one in seen for name in one.datasets)),
            quantities=tuple(sorted({name for one in seen for name in one.quantities})),
            unlisted=tuple(dict.fromkeys(str(source) for one in seen for source in one.unlisted_sets)),
            estimated=any(one.estimated for one in seen),
        )

    return [group(tags) for tags in alike.values()]
