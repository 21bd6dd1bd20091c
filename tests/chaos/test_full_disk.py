"""A disk that is full, or a limit on the size of files: what is there is whole, and all is made when there is room."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from chaos.runs import Ended, run
from chaos.scene import Place, Scene, both
from chaos.tally import Tried, note
from chaos.witness import LAST_DIGITS, Witness

pytestmark = pytest.mark.slow

N_POINTS, N_LIMITS = 5, 2
COMMANDS = ("fit", "predict", "embed", "compose", "pretrain", "sweep")
BLOCK = 4096
# What a run says is written to a file as well.
SMALLEST_LIMIT = 2**14


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_loses_nothing(name: str, scene: Scene, disk: Path) -> None:
    chance = random.Random(f"full {name}")
    needed = size(scene.base / "places" / f"undisturbed-{name}")
    found = []
    for number, free in enumerate([0, BLOCK, *(int(chance.uniform(0, needed)) for _ in range(N_POINTS - 2))]):
        place = scene.place(f"{name}-full-{number}", on=disk)
        ballast = fill(disk, free=free)
        ended = run(place.job(scene.commands[name]))
        ballast.unlink()
        found.append(check(scene, name, place, ended, where=f"{name}, {free} bytes free"))
    note("full disk", name, found)


@pytest.mark.parametrize("name", ["fit", "embed", "sweep"])
def test_a_limit_on_the_size_of_files_loses_nothing(name: str, scene: Scene) -> None:
    chance = random.Random(f"limit {name}")
    paths = (scene.base / "places" / f"undisturbed-{name}").rglob("*")
    largest = max(path.stat().st_size for path in paths if path.is_file())
    limits = [int(chance.uniform(SMALLEST_LIMIT, largest)) for _ in range(N_LIMITS)]

    def disturb(point: tuple[int, int]) -> Tried:
        number, limit = point
        place = scene.place(f"{name}-limit-{number}")
        ended = run(place.job(scene.commands[name], largest_file=limit))
        return check(scene, name, place, ended, where=f"{name}, files of at most {limit} bytes")

    note("limit on files", name, both(disturb, list(enumerate(limits))), stops=False)


def check(scene: Scene, name: str, place: Place, ended: Ended, *, where: str) -> Tried:
    """What a run left that could not write all, and what the next one makes of it."""
    command = scene.commands[name]
    # A cache that cannot be written has other crystals embedded together.
    witness = Witness(command, place, scene.whole[name], where, tolerance=LAST_DIGITS)
    findings = witness.left(ended) + witness.tidy()
    if ended.status != 0:
        findings += witness.refusal(ended, named=("No space left", "File too large", "disk"))
    before = witness.outcomes()
    findings += witness.repeated(before, run(place.job(command, *command.resume(place.work))))
    place.leave(findings)
    return Tried(ended.status != 0, findings)


def fill(disk: Path, *, free: int) -> Path:
    """A file that leaves no more than some bytes."""
    ballast = disk / "ballast"
    left = shutil.disk_usage(disk).free - free
    ballast.write_bytes(bytes(max(left - left % BLOCK, 0)))
    return ballast


def size(folder: Path) -> int:
    """What the files of a folder take on a disk."""
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in folder.rglob("*") if path.is_file())
