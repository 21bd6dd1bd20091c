"""The file of a task and a method: its repeats, each added when it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.campaigns.problems import BATCH, BUDGET, POOL, START, Repeat
from benchmarks.cells.results import digest, write_checked

RESULTS = Path(__file__).parents[1] / "discovery"


def path_of(folder: Path, task: str, method: str) -> Path:
    """Where the repeats of a task and a method are."""
    return folder / f"{task}.{method}.json"


def read_repeats(path: Path, *, goal: str) -> list[Repeat]:
    """Repeats that are there, by their seeds.

    Raises:
        ValueError: The file is damaged, or of a search of another kind.
    """
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    if digest({name: value for name, value in content.items() if name != "sha256"}) != content.get("sha256"):
        raise ValueError(f"{path} does not have its checksum: it was damaged or changed by hand; delete it")
    if content["search"] != _search(goal):
        raise ValueError(f"{path} is of another search, {content['search']}: name another --output")
    return sorted(content["repeats"], key=lambda one: one["seed"])


def add_repeat(path: Path, repeat: Repeat, *, task: str, method: str, goal: str) -> None:
    """Write a file with one more repeat, whole."""
    repeats = [*read_repeats(path, goal=goal), repeat]
    write_checked({"task": task, "method": method, "search": _search(goal), "repeats": repeats}, path)


def _search(goal: str) -> dict[str, Any]:
    return {"goal": goal, "pool": POOL, "start": START, "batch": BATCH, "budget": BUDGET}
