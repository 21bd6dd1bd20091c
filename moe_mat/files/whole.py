"""The one way to write a file: it is there whole, or as it was before."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# What a write fails with, and the remedy.
_REMEDIES = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EIO: "the disk may be failing: write elsewhere",
    errno.EPIPE: "who reads it has ended",
}
_OPEN_ALREADY = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)")
# How Rust and C++ write of the same in errors that carry no number.
_NUMBER_IN_WORDS = re.compile(r"(?:os error|errno|code:)\s*(\d+)", re.IGNORECASE)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name beside ``path`` to write to; what is written there takes its place when the block ends.

    The name is unique, so that two writers of one file do not meet in it, and the content is on the disk before it is
    renamed. A block that fails leaves nothing behind. The folder is created where it is missing. What a link leads to
    is replaced in place of the link. A device or a pipe cannot be replaced: all is written to it when the block ends.

    Args:
        path: The file to write.

    Yields:
        The temporary file, which the block creates.

    Raises:
        OSError: When the disk is full; names ``path``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with whole_file(path) as part:
        ...     _ = part.write_text("1 2 3")
        >>> path.read_text()
        '1 2 3'
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: name a file", str(path))
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder, naming(path):
            part = Path(folder) / "content"
            yield part
            with part.open("rb") as content, _open(path) as stream:
                shutil.copyfileobj(content, stream)
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        with naming(path):
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def is_stream(path: Path) -> bool:
    """Whether a path leads to a device, a pipe, a socket, or to something that is open already (``/dev/stdout``)."""
    place = os.path.abspath(path)
    if _OPEN_ALREADY.fullmatch(place) or place.startswith("/proc/"):  # which may lead to a plain file
        return path.exists()
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _open(path: Path) -> BinaryIO:
    """Open a stream; one that is open already where it stands, so that what it holds is not overwritten."""
    found = _OPEN_ALREADY.fullmatch(os.path.abspath(path))
    if found is None:
        return path.open("wb")
    number = {"stdout": 1, "stderr": 2}.get(found[1]) or int(found[2])
    return os.fdopen(os.dup(number), "wb")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error that says no more than that a disk is full.

    Args:
        path: What is written in the block.

    Raises:
        OSError: In place of such an error.
    """
    try:
        yield
    except Exception as error:
        number = _full(error)
        if number is None:
            raise
        reason = f"cannot be written ({os.strerror(number)}): {_REMEDIES[number]}"
        raise OSError(number, reason, str(path)) from error


def _full(error: Exception) -> int | None:
    """The number of an error of a full disk, which does not say of which file."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _REMEDIES and not _is_named(error) else None
    found = _NUMBER_IN_WORDS.search(str(error))
    return int(found[1]) if found is not None and int(found[1]) in _REMEDIES else None


def _is_named(error: OSError) -> bool:
    """Whether an error names a file that a reader would recognise."""
    return error.filename is not None and not str(error.filename).endswith(".part")
