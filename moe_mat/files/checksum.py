"""Checksums of files."""

import hashlib
from functools import lru_cache
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content, computed once a process as long as the file is not written to."""
    state = path.stat()
    return _sha256_of(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256_of(path: Path, inode: int, size: int, modified: int) -> str:
    return file_sha256(path)
