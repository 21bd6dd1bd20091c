"""What the sections of a report are made from, and how they write it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cells.audits import Audit
from benchmarks.cells.results import Result
from benchmarks.reports.bootstrap import Errors, Interval, difference, interval
from benchmarks.reports.scores import Key, Score, Scores
from moe_mat.tasks import TaskCards

GOALS = ("MoE-(18)", "MoMa (Full)")
ORDER = ("median", "rf-magpie", "stl", "tl", "concat", "ensemble", "moe-published", "moe")


@dataclass(frozen=True, slots=True)
class Findings:
    """What the sections are made from.

    Attributes:
        cards: of the tasks.
        results: finished ones of which all splits are there; several pairwise transfers have become the best of them.
        problems: what is wrong with files that were not used.
        scores: of the results.
        methods: in the order of the tables.
        reference: the method that the others are compared with.
        figures: folder of the figures.
        audits: task -> what experts have seen of it.
        every: all results, also those of which a split is missing, and the failed ones.
        errors: of the scores with all labels and with predictions.
    """

    cards: TaskCards
    results: Sequence[Result]
    problems: Sequence[str]
    scores: Scores
    methods: Sequence[str]
    reference: str
    figures: Path
    audits: Mapping[str, Audit] = field(default_factory=dict)
    every: Sequence[Result] = ()
    errors: Mapping[Key, Errors] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Ours and then Matbench's, those of which there is any result with all labels."""
        known = {key.task for key in self.scores if not key.n_labels}
        return [task for task in [*self.cards.names(), *self.cards.matbench] if task in known]

    @property
    def own_tasks(self) -> list[str]:
        """Those of them that are not Matbench's."""
        return [task for task in self.tasks if task not in self.cards.matbench]

    def methods_on(self, tasks: Sequence[str]) -> list[str]:
        """Those that have a score with all labels on some of the tasks."""
        known = {key.method for key in self.scores if key.task in tasks and not key.n_labels}
        return [method for method in self.methods if method in known]

    def interval(self, task: str, method: str) -> Interval | None:
        """Of the MAE; None where no predictions are known."""
        errors = self.errors.get(Key(task, method))
        return None if errors is None else interval(errors)

    def difference(self, task: str, method: str, other: str) -> Interval | None:
        """Of the MAE of a method minus that of another one; None where it is not known."""
        ours, theirs = self.errors.get(Key(task, method)), self.errors.get(Key(task, other))
        return None if ours is None or theirs is None else difference(ours, theirs)


def in_order(method: str) -> tuple[int, str]:
    """Sort key: from the simplest baseline to ours; a variant stands beside its like, a stranger before ours."""
    alike = [name for name in ORDER if method.startswith(name)]
    return (ORDER.index(max(alike, key=len)) if alike else len(ORDER) - 2), method


def number(value: float, digits: int = 3) -> str:
    """So many digits that count, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def with_sd(one: Score) -> str:
    """Mean and deviation with as many digits as the deviation is worth."""
    if math.isnan(one.sd) or one.sd == 0:
        return f"{one.mean:.4g}"
    digits = max(0, 1 - math.floor(math.log10(one.sd)))
    return f"{one.mean:.{digits}f} ± {one.sd:.{digits}f}"


def with_interval(mean: float, found: Interval | None) -> str:
    """Mean and interval."""
    return number(mean) if found is None else f"{number(mean)} [{number(found.low)}, {number(found.high)}]"


def bold(text: str, yes: bool) -> str:
    """The text, in bold where it stands out."""
    return f"**{text}**" if yes else text


def file_name(text: str) -> str:
    """Letters, digits and hyphens of a method's name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text.replace(", ", "-")).lower()
