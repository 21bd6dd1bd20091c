"""The log of a run, in a folder that no other run has."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only


class RunLogger(CSVLogger):
    """A `CSVLogger` that makes its folder ``version_N`` when it chooses the number.

    Lightning looks for the largest number and makes the folder later, so that two runs that start at the same moment
    write into one.
    """

    @classmethod
    def at(cls, folder: str | Path) -> RunLogger:
        """With a folder that is named."""
        path = Path(folder).resolve()
        return cls(path.parent, name="", version=path.name)

    @property
    def version(self) -> int | str:
        """Number of the folder."""
        if self._version is None and not getattr(rank_zero_only, "rank", 0):
            self._version = _claim(Path(self.root_dir))
        return super().version


def _claim(folder: Path) -> int:
    """Make the folder with the next number, which fails where another run has just made it."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [path.name.rpartition("_")[2] for path in folder.glob("version_*")]
    number = max((int(one) for one in numbers if one.isdecimal()), default=-1) + 1
    while True:
        try:
            (folder / f"version_{number}").mkdir()
            return number
        except FileExistsError:
            number += 1
