"""Engines by name."""

from __future__ import annotations

from typing import Any

from moe_mat.engines.base import Engine, EngineName, WorkerNeeds
from moe_mat.engines.processes import ProcessEngine
from moe_mat.engines.ray_cluster import RayEngine

ENGINES: dict[EngineName, Any] = {"processes": ProcessEngine, "ray": RayEngine}
"""By name; each is made with a number of workers and what these need."""


def start_engine(name: EngineName, workers: int, needs: WorkerNeeds | None = None) -> Engine:
    """Start an engine.

    Args:
        name: ``processes`` of this machine, or an existing ``ray`` cluster.
        workers: Number of jobs at once.
        needs: Of each worker.

    Raises:
        ValueError: There is no such engine, or no worker is asked for.
        ImportError: Ray is not installed.
        ConnectionError: There is no Ray cluster.
    """
    if name not in ENGINES:
        raise ValueError(f"there is no engine {name!r}: use {' or '.join(ENGINES)}")
    if workers < 1:
        raise ValueError(f"workers is {workers}: at least 1 is needed")
    return ENGINES[name](workers, needs or WorkerNeeds())
