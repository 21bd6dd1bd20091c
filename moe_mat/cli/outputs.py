"""What is written must not be what is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from moe_mat.files.whole import is_stream


def check_output(output: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Refuse an output that would take the place of something that is read.

    Args:
        output: The file that is to be written.
        inputs: Files and folders that are read; ``None`` and names of what is no file are left alone.

    Raises:
        ValueError: When the output is one of them, or lies in such a folder; names both.
    """
    path = Path(output)
    if not path.exists() or is_stream(path):
        return
    for given in inputs:
        if given is None or not (source := Path(given)).exists():
            continue
        if path.samefile(source):
            raise ValueError(
                f"--output {output} is what is read ({given}), and would be overwritten: name another file"
            )
        if source.is_dir() and any(folder.samefile(source) for folder in path.resolve().parents):
            raise ValueError(f"--output {output} is a file of the folder that is read ({given}): name a new file")
        if _may_name(source, path):
            raise ValueError(f"--output {output} is a crystal that {given} may name: name another file")


def _may_name(table: Path, path: Path) -> bool:
    """Whether a CSV may name a file as one of its crystals."""
    from moe_mat.crystals.structure_files import structure_format

    is_below = any(folder.samefile(table.parent) for folder in path.resolve().parents)
    return ".csv" in table.suffixes and structure_format(path) is not None and is_below
