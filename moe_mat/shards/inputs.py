"""What identifies the crystals that are read: they must be the same for all parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moe_mat.crystals.file_tables import parquet_of_folder
from moe_mat.files.checksum import file_sha256


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that is read.

    Attributes:
        name: Without its folder.
        size: In bytes.
        sha256: Of its content.
        modified: When it was written, in nanoseconds: its content is not looked at again as long as this is the same.
    """

    name: str
    size: int
    sha256: str
    modified: int

    @classmethod
    def of(cls, path: Path, known: InputFile | None) -> InputFile:
        """A file as it is now; ``known`` as it was."""
        state = path.stat()
        if known is not None and (known.size, known.modified) == (state.st_size, state.st_mtime_ns):
            return known
        return cls(path.name, state.st_size, file_sha256(path), state.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Inputs:
    """All files that are read.

    Of tables (Parquet, CSV, JSON, extended XYZ) the content counts; of a folder with a file for each crystal the names
    and sizes, because to read millions of small files again for each worker would take hours.

    Attributes:
        path: As it was given, for messages.
        files: Of a table, or those of a folder of Parquet files; one entry stands for a folder of single crystals.
    """

    path: str
    files: tuple[InputFile, ...]

    @classmethod
    def of(cls, path: Path, known: Inputs | None = None) -> Inputs:
        """What is read now.

        Args:
            path: As for `moe_mat.crystals.iter_crystals`.
            known: What was read before, which spares reading the same again.

        Raises:
            FileNotFoundError: There is nothing.
        """
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {path}")
        before = {} if known is None else {file.name: file for file in known.files}
        files = parquet_of_folder(path) if path.is_dir() else [path]
        if not files:
            return cls(str(path), (_listing(path),))
        return cls(str(path), tuple(InputFile.of(file, before.get(file.name)) for file in files))

    @property
    def digest(self) -> str:
        """Hex SHA-256 of names and contents; where the folder lies does not count."""
        found = hashlib.sha256()
        for file in self.files:
            found.update(f"{file.name}\n{file.size}\n{file.sha256}\n".encode())
        return found.hexdigest()

    def difference(self, other: Inputs) -> list[str]:
        """Names of files that others have not, or have with other content."""
        mine, theirs = ({(one.name, one.size, one.sha256) for one in inputs.files} for inputs in (self, other))
        return sorted({name for name, *_ in mine ^ theirs})

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> Inputs:
        """From what `to_dict` gave."""
        return cls(content["path"], tuple(InputFile(**file) for file in content["files"]))


def _listing(folder: Path) -> InputFile:
    """All files of a folder as one."""
    found, total, names = hashlib.sha256(), 0, sorted(file.name for file in folder.iterdir() if file.is_file())
    for name in names:
        size = (folder / name).stat().st_size
        total += size
        found.update(f"{name}\n{size}\n".encode())
    return InputFile(f"{len(names)} files", total, found.hexdigest(), 0)
