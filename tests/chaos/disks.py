"""Small disks, and files on them that are damaged."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

DAMAGES = ("bit", "cut", "zeros", "noise", "empty")


def mount(*arguments: str) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def read_only(folder: Path, disk: Path | None) -> Iterator[None]:
    """Nothing in a folder can be written while the block runs.

    Args:
        folder: Which.
        disk: The disk that it is on, where there is one; root may write anywhere else.
    """
    if disk is None:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mount("-o", "remount,ro", str(disk))
    try:
        yield
    finally:
        mount("-o", "remount,rw", str(disk))


def damage(path: Path, chance: random.Random, *, kind: str) -> str:
    """Damage a file.

    Args:
        path: The file.
        chance: Says where.
        kind: One of `DAMAGES`.

    Returns:
        What was done.
    """
    content = bytearray(path.read_bytes())
    at = chance.randrange(len(content))
    length = min(chance.randint(1, 512), len(content) - at)
    if kind == "bit":
        content[at] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del content[at:]
    elif kind == "zeros":
        content[at : at + length] = bytes(length)
    elif kind == "noise":
        content[at : at + length] = chance.randbytes(length)
    else:
        content.clear()
    path.write_bytes(content)
    return f"{kind} at {at} of {path.name}"
