"""What is promised of a run that was disturbed, and of the next one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.contents import Contents, same
from chaos.runs import Ended
from chaos.scene import Place
from chaos.tally import Finding, Kind
from chaos.toys import Command

# An embedding depends in its last digits on which crystals were in its batch, and so on what the cache held.
LAST_DIGITS = 1e-3


@dataclass(frozen=True)
class Witness:
    """Looks at the folder of a command.

    Attributes:
        command: Which.
        place: Its folder.
        whole: What an undisturbed run leaves.
        where: What was done to it, for messages.
        tolerance: By how much numbers may differ from those of an undisturbed run.
    """

    command: Command
    place: Place
    whole: Contents
    where: str
    tolerance: float = 0.0

    def left(self, ended: Ended) -> list[Finding]:
        """Of what a run left, nothing that it reported is missing, and nothing that is there is wrong."""
        outcomes = self.outcomes()
        findings = [
            self._finding("wrong", f"{name} is not that of an undisturbed run")
            for outcome in outcomes
            for name in outcome
            if not self._is_right(outcome, name)
        ]
        there = outcomes[-1] if outcomes else {}
        for line, files in self.command.reports.items():
            if line in ended.out + ended.err:
                names = self.whole if list(files) == ["*"] else files
                lost = [name for name in names if name not in there]
                findings += [self._finding("lost", f"{name} was reported ({line!r}) and is not there") for name in lost]
        if ended.status == 0 and not self.is_done():
            findings.append(self._finding("lost", "it ended with 0 before all was there"))
        return findings

    def repeated(self, before: Sequence[Contents], ended: Ended) -> list[Finding]:
        """The next run makes all that an undisturbed run makes, and nothing is gone that was there.

        Args:
            before: Outcomes before it.
            ended: How it ended.
        """
        if ended.status != 0:
            return [self._finding("lost", f"the next run ends with {ended.status}: {ended.err[-1500:]}")]
        outcomes = self.outcomes()
        found = outcomes[-1]
        findings = [
            self._finding("lost", f"{name} is missing after the next run") for name in self.whole if name not in found
        ]
        wrong = [name for name in found if not self._is_right(found, name)]
        findings += [
            self._finding("wrong", f"{name} is not that of an undisturbed run after the next run") for name in wrong
        ]
        for old, new in zip(before[: len(outcomes) - 1], outcomes, strict=False):
            changed = [name for name in old if name not in new or not same(old[name], new[name])]
            findings += [self._finding("lost", f"{name} of the first run changed") for name in changed]
        return findings

    def refusal(self, ended: Ended, *, status: int | None = None, named: Sequence[str | Path] = ()) -> list[Finding]:
        """A run that could not be finished says why in one line, and by its exit status.

        Args:
            ended: How it ended.
            status: What it must be; by default any but 0.
            named: What the line must have one of.
        """
        last = ended.err.rstrip("\n").rpartition("\n")[2]
        findings = []
        if ended.status <= 0 or ended.status != (status or ended.status):
            findings.append(self._finding("unclear", f"the exit status is {ended.status}: {ended.err[-1500:]}"))
        if "Traceback" in ended.err:
            findings.append(self._finding("unclear", f"a traceback: {ended.err[-1500:]}"))
        elif not re.match(self.command.says, last):
            findings.append(self._finding("unclear", f"the last line does not say why it ended: {ended.err[-500:]}"))
        elif "unexpected" in last or (named and not any(str(one) in ended.err for one in named)):
            findings.append(self._finding("unclear", f"the last line does not say what is wrong: {ended.err[-500:]}"))
        return findings

    def tidy(self) -> list[Finding]:
        """Nothing half-written is left."""
        paths = [path for folder in (self.place.work, self.place.temporary) for path in folder.rglob("*")]
        return [self._finding("unclear", f"{path} is left over") for path in paths if _is_half_written(path)]

    def outcomes(self) -> Sequence[Contents]:
        """What is there, for each run that has a folder of its own."""
        return self.command.outcomes(self.place.work)

    def is_done(self) -> bool:
        """Whether all is there that an undisturbed run leaves."""
        outcomes = self.outcomes()
        return bool(outcomes) and same(outcomes[-1], self.whole, tolerance=self.tolerance)

    def _is_right(self, found: Contents, name: str) -> bool:
        return name in self.whole and same(found[name], self.whole[name], tolerance=self.tolerance)

    def _finding(self, kind: Kind, text: str) -> Finding:
        return Finding(kind, f"{self.where}: {text}")


def _is_half_written(path: Path) -> bool:
    # The name of a temporary file has no suffix, and all others have one.
    return path.suffix in ("", ".part") and not path.is_dir()
