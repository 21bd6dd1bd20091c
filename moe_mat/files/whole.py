"""The one way to write a file: it is there whole, or as it was before."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name beside ``path`` to write to; what is written there takes its place when the block ends.

    The name is unique, so that two writers of one file do not meet in it, and the content is on the disk before it is
    renamed. A block that fails leaves nothing behind. The folder is created where it is missing.

    Args:
        path: The file to write.

    Yields:
        The temporary file, which the block creates.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with whole_file(path) as part:
        ...     _ = part.write_text("1 2 3")
        >>> path.read_text()
        '1 2 3'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
