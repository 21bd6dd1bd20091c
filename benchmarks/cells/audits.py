"""What experts have seen of the benchmark's tasks: one file a task, in the folder ``audit`` beside the results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.cells.results import AUDITS, digest, write_checked
from moe_mat.audit import FLAGS, LEFT, Exposure, Overlap, UnlistedSet

# Raise it when a change of code changes what is found.
VERSION = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What experts of one exposure have seen of a task.

    Attributes:
        datasets: sources of which each crystal is known.
        quantities: learned from these.
        unlisted: sources of which the crystals are not known -> quantities learned from these; none where its card does
            not name them.
        files: file of a source -> its checksum, or None where it was not there.
        estimated: why the matches of crystals are estimated; empty where structures were compared.
        flags: a hexadecimal digit a row: 1 for the same training crystal, 2 for one with a label of the task's
            quantity, 4 for a training crystal of the same formula, 8 for one with such a label.
    """

    datasets: Sequence[str]
    quantities: Sequence[str]
    unlisted: Mapping[str, Sequence[str]]
    files: Mapping[str, str | None]
    estimated: Sequence[str]
    flags: str

    @classmethod
    def of(cls, overlap: Overlap, rows: slice, files: Mapping[str, str | None]) -> Seen:
        """From what the audit found in some rows."""
        flags = zip(*(getattr(overlap, name)[rows].tolist() for name in FLAGS), strict=True)
        exposure = overlap.exposure
        return cls(
            datasets=[source.dataset for source in exposure.known],
            quantities=list(exposure.quantities),
            unlisted={one.source: list(one.quantities) for one in exposure.unlisted},
            files=dict(files),
            estimated=list(overlap.estimated),
            flags="".join(f"{sum(flag << place for place, flag in enumerate(of_row)):x}" for of_row in flags),
        )

    @property
    def unlisted_sets(self) -> list[UnlistedSet]:
        """The sources of which the crystals are not known, with the quantities that were learned."""
        return [UnlistedSet(source, tuple(quantities)) for source, quantities in self.unlisted.items()]

    def rows(self, name: str) -> np.ndarray:
        """One of `FLAGS` ``[n]``."""
        place = FLAGS.index(name)
        return np.array([int(digit, 16) >> place & 1 for digit in self.flags], dtype=bool)


@dataclass(frozen=True)
class Audit:
    """What experts have seen of a task.

    Attributes:
        task: its name.
        quantity: what its target measures.
        data: digest of the prepared data.
        ids: of its n rows.
        experts: tag -> digest of its exposure.
        seen: digest of an exposure -> what these experts have seen.
    """

    task: str
    quantity: str
    data: str
    ids: Sequence[str]
    experts: Mapping[str, str]
    seen: Mapping[str, Seen]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def knows(self, experts: Iterable[str], ids: Iterable[str]) -> bool:
        """Whether these experts and these rows were audited."""
        return set(experts) <= set(self.experts) and set(ids) <= set(self._place)

    def flags(self, experts: Iterable[str], ids: Sequence[str], name: str) -> np.ndarray:
        """Which of some rows some experts have seen, by one of `FLAGS` ``[n_ids]``."""
        seen = [self.seen[digest].rows(name) for digest in {self.experts[tag] for tag in experts}]
        return np.any([np.zeros(len(self.ids), dtype=bool), *seen], axis=0)[[self._place[one] for one in ids]]

    def left(self, experts: Iterable[str], ids: Sequence[str], kind: str) -> np.ndarray:
        """Which of some rows remain without those that some experts have seen, by one of `LEFT` ``[n_ids]``."""
        return ~self.flags(experts, ids, LEFT[kind])

    def possibly(self, experts: Iterable[str]) -> bool:
        """Whether some experts may have learned the label from crystals that are not known one by one."""
        seen = [self.seen[self.experts[tag]] for tag in experts]
        return any(source.may_tell(self.quantity) for one in seen for source in one.unlisted_sets)

    def joined(self, older: Audit | None) -> Audit:
        """This and what an older audit of the same rows knows of other experts."""
        if older is None or older.data != self.data:
            return self
        experts = {**older.experts, **self.experts}
        seen = {digest: one for digest, one in {**older.seen, **self.seen}.items() if digest in experts.values()}
        return replace(self, experts=experts, seen=seen)

    def write(self, results: Path) -> Path:
        """Write it to its place in a folder of results, whole or not at all."""
        path = results / AUDITS / f"{self.task}.json"
        write_checked({"version": VERSION, **asdict(self)}, path)
        return path


def read_audit(results: Path, task: str) -> Audit | None:
    """The audit of a task in a folder of results; None where there is none, or one that must be made again."""
    path = results / AUDITS / f"{task}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("sha256") != digest(content) or content.pop("version") != VERSION:
            return None
        seen = {digest: Seen(**one) for digest, one in content.pop("seen").items()}
        return Audit(seen=seen, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_audits(results: Path) -> dict[str, Audit]:
    """All audits of a folder of results, by task."""
    found = (read_audit(results, path.stem) for path in sorted((results / AUDITS).glob("*.json")))
    return {one.task: one for one in found if one is not None}


def is_current(
    audit: Audit | None, *, data: str, tag: str, exposure: Exposure, files: Mapping[str, str | None]
) -> bool:
    """Whether an audit says of an expert what an audit now would say, or more.

    Args:
        audit: the one that there is.
        data: digest of the prepared data now.
        tag: of the expert.
        exposure: of the expert now.
        files: file of each source -> its checksum now, or None where it is not there.
    """
    if audit is None or audit.data != data or audit.experts.get(tag) != exposure.digest:
        return False
    noted = audit.seen[exposure.digest].files
    # Where the structures of a source are missing now, what was found when they were there is better.
    return all(sha256 is None or noted.get(file) == sha256 for file, sha256 in files.items())
