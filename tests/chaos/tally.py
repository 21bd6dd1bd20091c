"""What was tried on each command, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["lost", "wrong", "unclear"]


@dataclass(frozen=True)
class Finding:
    """A promise that was broken.

    Attributes:
        kind: A result is lost, is wrong, or a message or an exit status does not say what happened.
        text: Which, and where.
    """

    kind: Kind
    text: str


@dataclass(frozen=True)
class Tried:
    """A point that was tried.

    Attributes:
        stopped: Whether the run could not end as if nothing had been.
        findings: What was broken.
    """

    stopped: bool
    findings: Sequence[Finding]


@dataclass
class Row:
    """A row of the table.

    Attributes:
        what: What was done.
        command: To which.
        tried: The points.
    """

    what: str
    command: str
    tried: Sequence[Tried]

    @property
    def findings(self) -> list[Finding]:
        """Those of all points."""
        return [one for point in self.tried for one in point.findings]

    def count(self, kind: Kind) -> int:
        """The number of findings of a kind."""
        return sum(one.kind == kind for one in self.findings)


ROWS: list[Row] = []


def note(what: str, command: str, tried: Sequence[Tried], *, stops: bool = True) -> None:
    """Add a row to the table, and fail where something was broken.

    Args:
        what: What was done.
        command: To which.
        tried: The points.
        stops: Whether some of the runs must have ended early.
    """
    row = Row(what, command, tried)
    ROWS.append(row)
    assert not row.findings, "\n".join(f"{one.kind}: {one.text}" for one in row.findings)
    assert not stops or any(point.stopped for point in tried), "all runs ended as if nothing had been"


def table() -> str:
    """All that was tried so far, as Markdown."""
    lines = ["| what | command | points | ended early | lost | wrong | unclear |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in ROWS:
        counts = [len(row.tried), sum(point.stopped for point in row.tried)]
        counts += [row.count(kind) for kind in ("lost", "wrong", "unclear")]
        lines.append(f"| {row.what} | {row.command} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)
