"""Opening text that may be compressed, without trusting what it unpacks to."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, TextIO

MOST_RATIO = 100
"""Times its size that a file may unpack to: text of crystals is 3 to 20 times smaller when compressed."""

HARMLESS_BYTES = 64 * 2**20
"""What every file may unpack to, whatever its size."""


class _Unpacked(io.RawIOBase):
    """What is in a gzip file, until it turns out to be damaged or made to fill the memory; then ``OSError``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._most = max(HARMLESS_BYTES, MOST_RATIO * path.stat().st_size)
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed by close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._file.read(len(buffer))
        except (zlib.error, EOFError) as error:
            raise OSError(f"the compressed file is damaged or cut off: {error}") from error
        if self._file.tell() > self._most:
            raise OSError(
                f"it unpacks to more than {MOST_RATIO} times its size, as no data do: unpack it first if you trust it"
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(path: Path, *, encoding: str = "utf-8", newline: str | None = None) -> TextIO:
    """Open a text file for reading, through gzip where its name ends in .gz.

    Reading raises ``OSError`` where a compressed file is damaged, cut off or made to fill the memory.

    Args:
        path: The file.
        encoding: Of the text.
        newline: As for ``open``.
    """
    if path.suffix.lower() != ".gz":
        return path.open(encoding=encoding, newline=newline)
    return io.TextIOWrapper(io.BufferedReader(_Unpacked(path), 2**16), encoding=encoding, newline=newline)


def read_text(path: Path, *, most: int = HARMLESS_BYTES) -> str:
    """The text of a file that holds one thing, such as one crystal.

    Args:
        path: The file.
        most: Characters that it may have.

    Raises:
        OSError: When it is damaged or larger; names the size, not the file, which the caller knows.
        UnicodeDecodeError: When it is no text in UTF-8.
    """
    with open_text(path) as stream:
        text = stream.read(most + 1)
    if len(text) > most:
        raise OSError(f"it holds more than {most} characters")
    return text
