"""Folders that one process writes at a time."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no locks of folders
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Write to a folder in which several files belong together; the end of the process frees it, however it ends.

    Where the file system knows no locks, there is none.

    Args:
        folder: Created where it is missing.

    Raises:
        OSError: When another process is writing to it; names it.

    Example:
        >>> import tempfile
        >>> with only_writer(Path(tempfile.mkdtemp()) / "experts"):
        ...     pass
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = "another process is writing to it: wait for its end, or name another folder"
            raise OSError(errno.EWOULDBLOCK, reason, str(folder)) from error
        except OSError:  # as of some network file systems
            pass
        yield
    finally:
        os.close(number)
