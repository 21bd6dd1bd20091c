"""Jobs whose worker is killed in the middle of them, once; workers import them by their names."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from benchmarks.cells.results import Cell
from benchmarks.cells.worker import run_cell
from moe_mat.shards.parts import part_path
from moe_mat.shards.runs import PartTask, compute_part


def _die_once(marker: Path) -> None:
    if not marker.exists():
        marker.write_text("a worker has been here")
        os.kill(os.getpid(), signal.SIGKILL)


def part_with_death(task: PartTask, number: int) -> Any:
    """Part 1 is half written when its worker is killed, as by the system for want of memory."""
    if number == 1:
        path = part_path(task.folder, number)
        path.with_name(f"{path.name}.half.part").write_bytes(b"PAR1")
        _die_once(task.folder / "_killed")
    return compute_part(task, number)


def cell_with_death(cell: Cell, method: Any, context: Any, shared: Any = None) -> Any:
    """The cell of split 1 takes its worker down when it runs for the first time."""
    if cell.split == 1:
        _die_once(context.data / "killed")
    return run_cell(cell, method, context, shared)


def keeps(n: int) -> tuple[str, bytes]:
    """An answer, and what other jobs need."""
    return "an answer", bytes(n)


def counts(kept: bytes) -> int:
    """What a job does with what another one has kept."""
    return len(kept)


def fails() -> None:
    """A job that raises."""
    raise KeyError("no way")


def dies() -> None:
    """A job that takes its worker down each time."""
    os._exit(9)
