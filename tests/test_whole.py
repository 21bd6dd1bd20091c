"""Files are there whole or as they were; what cannot be replaced is written to; a full disk is named."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from moe_mat.files import whole_file, write_text


@contextmanager
def small_disk(n_bytes: int = 4096) -> Iterator[None]:
    """Files of this process cannot grow larger, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failing_block_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before")

    def half() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert (path.read_text(), os.listdir(tmp_path)) == ("before", ["file.txt"])


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert (path.read_text(), os.listdir(tmp_path)) == ("first", ["file.txt"])


@pytest.mark.parametrize("kind", ["text", "safetensors"])
def test_a_full_disk_names_the_file_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "large.file"

    def fill() -> None:
        with small_disk(), whole_file(path) as part:
            if kind == "text":
                part.write_text("x" * 10_000)
            else:
                save_file({"x": np.zeros(10_000)}, part)

    with pytest.raises(OSError, match=r"cannot be written \(File too large\): raise the limit.*large\.file"):
        fill()
    assert not os.listdir(tmp_path)


def test_an_error_of_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"), whole_file(tmp_path / "file.txt"):
        (tmp_path / "nothing").read_text()


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "far" / "file.txt", tmp_path / "link.txt"
    write_text(target, "before")
    link.symlink_to(target)
    write_text(link, "after")
    assert link.is_symlink()
    assert (target.read_text(), os.listdir(target.parent)) == ("after", ["file.txt"])


def test_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder: name a file"), whole_file(tmp_path):
        pytest.fail("the block was run")


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(path.read_text()))
    reader.start()
    write_text(path, "through")
    reader.join(10)
    assert got == ["through"]
    assert path.is_fifo()


def test_a_full_device_is_named_and_stays_a_device() -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\): free some.*/dev/full"):
        write_text("/dev/full", "x")
    assert Path("/dev/full").is_char_device()


def test_standard_output_that_is_a_file_is_written_to(tmp_path: Path) -> None:
    program = "print(1, flush=True); write_text('/dev/stdout', '2'); write_text('/dev/fd/1', '3'); print(4)"
    with (tmp_path / "out.txt").open("w") as file:
        program = f"from moe_mat.files import write_text; {program}"
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
    assert (tmp_path / "out.txt").read_text() == "1\n234\n"
    assert Path("/dev/stdout").is_symlink()


def test_a_file_in_shared_memory_is_replaced_and_not_written_over() -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no shared memory here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "numbers.txt"
        path.write_text("old")
        with path.open() as reader:
            write_text(path, "new")
            assert reader.read() == "old"
        assert path.read_text() == "new"
