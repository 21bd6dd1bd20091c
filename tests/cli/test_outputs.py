"""What is read is not overwritten; devices and pipes are written to; a full disk is named and leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from cli.own_runs import N_CRYSTALS, Run, checkpoint, small, write_csv, write_folder
from cli.shells import shell

KINDS = ("predicted", "std", "lower", "upper", "percentile", "outside")
FIELDS = ["material_id", "in_sample", *(f"bulk_modulus_{kind}" for kind in KINDS)]


@pytest.fixture
def model(run: Run, own: list[str]) -> Path:
    assert run("fit", *small(), *own) == 0
    return checkpoint()


def test_two_commands_with_one_output(own: list[str], tmp_path: Path) -> None:
    """Point 4: the file is that of one of them, whole."""
    half = pd.read_parquet(own[1]).iloc[: N_CRYSTALS // 2]
    half.to_parquet(tmp_path / "half.parquet")
    options = ["--experts", "magpie", "--output", "one.parquet"]
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda path: shell("embed", path, *options), (own[1], tmp_path / "half.parquet") * 2))
    assert [one.returncode for one in ended] == [0] * 4
    assert len(pd.read_parquet("one.parquet")) in (N_CRYSTALS, N_CRYSTALS // 2)
    assert os.listdir() == ["one.parquet"]


def test_what_is_read_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    folder, table = write_folder(tmp_path), write_csv(tmp_path / "table")
    lone, link = Path("Na.vasp"), Path("link.csv")
    shutil.copy(folder / "Na.vasp", lone)
    link.symlink_to(lone)
    cif = table.parent / "cif" / "Na.cif"
    before = {path: path.read_bytes() for path in (lone, model, cif, folder / "Na.vasp", table)}
    cases: list[tuple[list[object], Path, str]] = [
        (["predict", lone, "--ckpt_path", model], lone, "is what is read"),
        (["predict", lone, "--ckpt_path", model], link, "is what is read"),
        (["predict", lone, "--ckpt_path", model], model, "is what is read"),
        (["predict", folder, "--ckpt_path", model], folder / "Na.vasp", "is a file of the folder"),
        (["predict", table, "--ckpt_path", model], cif, "may name"),
        (["embed", table, "--experts", "magpie"], table, "is what is read"),
        (["audit", table, "--target", "bulk_modulus", "--experts", "magpie"], table, "is what is read"),
    ]
    for arguments, output, problem in cases:
        result = shell(*arguments, "--output", output)
        assert (result.returncode, result.stdout) == (1, ""), arguments
        (line,) = [one for one in result.stderr.splitlines() if one.startswith("moe-mat")]
        assert line.startswith(f"moe-mat {arguments[0]}: --output {output} ")
        assert problem in line
    assert {path: path.read_bytes() for path in before} == before
    hub = Path("composed") / "merged"
    hub.mkdir(parents=True)
    result = shell("compose", table, "--target", "bulk_modulus", "--modules", hub, "--output", "composed")
    assert result.returncode == 1
    assert "is what is read" in result.stderr


def test_predictions_into_a_pipe_and_a_full_device(model: Path, own: list[str]) -> None:
    os.mkfifo("pipe")
    got: list[pd.DataFrame] = []
    reader = threading.Thread(target=lambda: got.append(pd.read_csv("pipe")))
    reader.start()
    assert shell("predict", *own[:2], "--ckpt_path", model, "--output", "pipe").returncode == 0
    reader.join(10)
    assert (list(got[0]), len(got[0])) == (FIELDS, N_CRYSTALS)
    assert Path("pipe").is_fifo()

    result = shell("predict", *own[:2], "--ckpt_path", model, "--output", "/dev/stdout")
    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == ",".join(FIELDS)
    assert len(result.stdout.splitlines()) == N_CRYSTALS + 1
    assert f"{N_CRYSTALS} predictions in /dev/stdout" in result.stderr

    if Path("/dev/full").is_char_device():
        result = shell("predict", *own[:2], "--ckpt_path", model, "--output", "/dev/full")
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].startswith("moe-mat predict: /dev/full: cannot be written (No space")
        assert Path("/dev/full").is_char_device()


def limited(n_blocks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command where no file may be larger than some KiB, as on a full disk."""
    words = ["bash", "-c", f'ulimit -f {n_blocks}; exec "$0" -m moe_mat "$@"', sys.executable, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_full_disk_is_named_and_leaves_nothing(run: Run, own: list[str]) -> None:
    result = limited(1, "embed", own[1], "--experts", "magpie", "--output", "out/vectors.parquet")
    assert result.returncode == 1
    assert "moe-mat embed: out/vectors.parquet: cannot be written (File too large)" in result.stderr.splitlines()[-1]
    assert not list(Path("out").iterdir())
    assert run("embed", own[1], "--experts", "magpie") == 0  # so that the cache has them
    result = limited(8, "fit", *small(), *own)  # too little for a checkpoint
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("moe-mat fit: runs/own/version_0/")
    assert not Path("runs").exists()


def test_a_failed_run_leaves_no_folder(run: Run, own: list[str]) -> None:
    assert run("fit", *small(), *own[:2], "--data.target", "name") == 1
    assert not Path("runs").exists()
    assert run("fit", *small(), *own) == 0
    assert run("fit", *small(), *own[:2], "--data.target", "name") == 1
    assert os.listdir("runs/own") == ["version_0"]


def test_standard_output_that_is_full_is_an_error(own: list[str]) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "moe_mat", "experts", "list"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("moe-mat experts: standard output: cannot be written (No space left on device)")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["experts", "list"], ["data", "list"]])
def test_a_reader_that_has_seen_enough_is_no_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([sys.executable, "-m", "moe_mat", *words], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert ended.returncode == 141
    assert ended.stderr == ""


def test_help_onto_a_full_disk_says_so() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "moe_mat", "--help"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("moe-mat: ")
    assert "No space left" in ended.stderr or "no space left" in ended.stderr
