"""A disk that is full, or a limit on the size of files: what is there is whole, and all is made when there is room."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.runs import Ended, run
from chaos.scene import Place, Scene, both, check_left, check_refusal, check_repeated, check_tidy
from chaos.tally import Finding, note
from chaos.toys import Command

pytestmark = pytest.mark.slow

N_POINTS = 6
COMMANDS = ("fit", "predict", "embed", "compose", "pretrain", "sweep")
DISK_BYTES = 64 * 2**20
BLOCK = 4096


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may not mount a small disk: {error}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_loses_nothing(name: str, scene: Scene, disk: Path) -> None:
    chance = random.Random(f"full {name}")
    needed = size(scene.base / "places" / f"undisturbed-{name}")
    found = []
    for number in range(N_POINTS):
        place = scene.place(f"{name}-full-{number}", on=disk)
        free = int(chance.uniform(0, 1) * needed)
        ballast = fill(disk, free=free)
        ended = run(place.job(scene.commands[name]))
        ballast.unlink()
        found.append(check(scene, name, place, ended, where=f"{name}, {free} bytes free"))
    note("full disk", name, found)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_the_size_of_files_loses_nothing(name: str, scene: Scene) -> None:
    chance = random.Random(f"limit {name}")
    paths = (scene.base / "places" / f"undisturbed-{name}").rglob("*")
    largest = max(path.stat().st_size for path in paths if path.is_file())
    limits = [int(largest ** chance.uniform(0.3, 1)) for _ in range(N_POINTS)]

    def disturb(point: tuple[int, int]) -> list[Finding]:
        number, limit = point
        place = scene.place(f"{name}-limit-{number}")
        ended = run(place.job(scene.commands[name], largest_file=limit))
        return check(scene, name, place, ended, where=f"{name}, files of at most {limit} bytes")

    note("limit on files", name, both(disturb, list(enumerate(limits))))


def check(scene: Scene, name: str, place: Place, ended: Ended, *, where: str) -> list[Finding]:
    """What a run left that could not write all, and what the next one makes of it."""
    command, whole = scene.commands[name], scene.whole[name]
    findings = check_left(command, place, whole, ended, where=where) + check_tidy(place, where=where)
    before = command.outcomes(place.work)
    if ended.status == 0:
        complete = bool(before) and before[-1] == whole
        findings += [Finding("lost", f"{where}: it ended with 0 and has not written all")] * (not complete)
    else:
        findings += check_refusal(command, ended, where=where) + check_named(command, ended, where=where)
    again = run(place.job(command, *command.resume(place.work)))
    findings += check_repeated(command, place, whole, before, again, where=where)
    place.leave(findings)
    return findings


def check_named(command: Command, ended: Ended, *, where: str) -> list[Finding]:
    """What could not be written is named."""
    known = ("No space left", "no space left", "File too large", "file too large", "full")
    said = ended.err.lower()
    if any(one.lower() in said for one in known):
        return []
    return [Finding("unclear", f"{where}: it does not say that the disk is full: {ended.err[-500:]}")]


def fill(disk: Path, *, free: int) -> Path:
    """A file that leaves no more than some bytes."""
    ballast = disk / "ballast"
    left = shutil.disk_usage(disk).free - free
    ballast.write_bytes(bytes(max(left - left % BLOCK, 0)))
    return ballast


def size(folder: Path) -> int:
    """What the files of a folder take on a disk."""
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in folder.rglob("*") if path.is_file())
