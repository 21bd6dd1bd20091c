"""A cache that cannot be written, empty or filled: the numbers are the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from chaos.disks import read_only
from chaos.runs import run
from chaos.scene import Scene, both
from chaos.tally import Finding, Tried, note
from chaos.witness import LAST_DIGITS, Witness

pytestmark = pytest.mark.slow


@pytest.fixture
def disk_for_root(request: pytest.FixtureRequest) -> Path | None:
    """A disk that can be made read-only; others need none, for a folder can."""
    return request.getfixturevalue("disk") if os.geteuid() == 0 else None


@pytest.mark.parametrize("content", ["empty", "filled"])
def test_a_read_only_cache_is_read_and_costs_no_result(content: str, scene: Scene, disk_for_root: Path | None) -> None:
    cache = (disk_for_root or scene.base) / f"read-only-{content}"
    if content == "filled":
        shutil.copytree(scene.base / "places" / "undisturbed-embed" / "cache", cache)
    else:
        cache.mkdir()

    def use(name: str) -> Tried:
        command, place = scene.commands[name], scene.place(f"{name}-read-only-{content}")
        witness = Witness(command, place, scene.whole[name], f"{name}, read-only cache", tolerance=LAST_DIGITS)
        ended = run(place.job(command, cache=cache))
        findings = witness.left(ended) + witness.tidy()
        if ended.status != 0:
            findings.append(Finding("lost", f"{witness.where}: {ended.err[-1500:]}"))
        elif "cannot be written" not in ended.err and content == "empty":
            findings.append(Finding("unclear", f"{witness.where}: it is not said: {ended.err[-1500:]}"))
        place.leave(findings)
        return Tried(False, findings)

    with read_only(cache, disk_for_root):
        tried = both(use, scene.commands)
    note(f"read-only cache, {content}", "each", tried, stops=False)
