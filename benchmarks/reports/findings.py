"""What the sections of a report are made from, and how they write it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cells.audits import Audit
from benchmarks.cells.results import Result
from benchmarks.reports.scores import Score, Scores
from moe_mat.tasks import N_SPLITS, TaskCards

GOALS = ("MoE-(18)", "MoMa (Full)")
ORDER = ("median", "rf-magpie", "stl", "tl", "concat", "ensemble", "moe-published", "moe")


@dataclass(frozen=True, slots=True)
class Findings:
    """What the sections are made from.

    Attributes:
        cards: of the tasks.
        results: finished and failed; several pairwise transfers have become the best of them.
        problems: what is wrong with files that were not used.
        scores: of the results.
        methods: in the order of the tables.
        reference: the method that the others are compared with.
        figures: folder of the figures.
        audits: task -> what experts have seen of it.
    """

    cards: TaskCards
    results: Sequence[Result]
    problems: Sequence[str]
    scores: Scores
    methods: Sequence[str]
    reference: str
    figures: Path
    audits: Mapping[str, Audit] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Ours and then Matbench's, those of which there is any result with all labels."""
        known = {key.task for key in self.scores if not key.n_labels}
        return [task for task in [*self.cards.names(), *self.cards.matbench] if task in known]

    @property
    def own_tasks(self) -> list[str]:
        """Those of them that are not Matbench's."""
        return [task for task in self.tasks if task not in self.cards.matbench]


def in_order(method: str) -> tuple[int, str]:
    """Sort key: from the simplest baseline to ours; a variant stands beside its like, a stranger before ours."""
    alike = [name for name in ORDER if method.startswith(name)]
    return (ORDER.index(max(alike, key=len)) if alike else len(ORDER) - 2), method


def with_sd(one: Score) -> str:
    """Mean and deviation with as many digits as the deviation is worth, and how many splits where some are missing."""
    if math.isnan(one.sd) or one.sd == 0:
        text = f"{one.mean:.4g}"
    else:
        digits = max(0, 1 - math.floor(math.log10(one.sd)))
        text = f"{one.mean:.{digits}f} ± {one.sd:.{digits}f}"
    return text if one.complete else f"{text} ({len(one.by_split)}/{N_SPLITS})"


def bold(text: str, yes: bool) -> str:
    """The text, in bold where it stands out."""
    return f"**{text}**" if yes else text


def file_name(text: str) -> str:
    """Letters, digits and hyphens of a method's name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text.replace(", ", "-")).lower()
