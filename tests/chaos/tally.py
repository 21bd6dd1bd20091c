"""What was tried on each command, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass
class Row:
    """A row of the table.

    Attributes:
        what: What was done.
        command: To which.
        points: How often.
        findings: What was broken.
    """

    what: str
    command: str
    points: int = 0
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: Kind) -> int:
        """The number of findings of a kind."""
        return sum(one.kind == kind for one in self.findings)


ROWS: list[Row] = []


def note(what: str, command: str, findings: Sequence[Sequence[Finding]]) -> None:
    """Add a row to the table, and fail where something was broken.

    Args:
        what: What was done.
        command: To which.
        findings: Of each point.
    """
    row = Row(what, command, len(findings), [one for of_point in findings for one in of_point])
    ROWS.append(row)
    assert not row.findings, "\n".join(f"{one.kind}: {one.text}" for one in row.findings)


def table() -> str:
    """All that was tried so far, as Markdown."""
    lines = ["| what | command | points | lost | wrong | unclear |", "|---|---|---:|---:|---:|---:|"]
    for row in ROWS:
        counts = " | ".join(str(row.count(kind)) for kind in ("lost", "wrong", "unclear"))
        lines.append(f"| {row.what} | {row.command} | {row.points} | {counts} |")
    return "\n".join(lines)
