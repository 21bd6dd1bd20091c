"""How long gates, heads and whole methods train, and how that grows."""

from __future__ import annotations

import argparse
from typing import Any

from pymatgen.core import Structure

from benchmarks.cells.protocols import Assignment
from benchmarks.cells.worker import peak_memory, reset_peak_memory
from benchmarks.measurements.tools import assignment, cold_cache, names_of, say, timed
from benchmarks.methods.cards import load_method
from benchmarks.methods.problem import Problem
from moe_mat import MoERegressor


def head(options: argparse.Namespace) -> dict[str, Any]:
    """Training of gate and head on cached embeddings: 1,000 crystals, 20 experts, 200 epochs, unless told otherwise."""
    work = assignment(options)
    structures, target = work.task.structures[: options.n], work.target[: options.n]
    tags = names_of(options.experts)[:20]
    model = MoERegressor(
        tags, head="mlp", n_members=1, max_epochs=options.epochs, patience=options.epochs, random_state=0
    )
    short = MoERegressor(tags, head="mlp", n_members=1, max_epochs=1, random_state=0)
    embedding = timed(short.fit, structures, target)[0]
    reading = timed(short.fit, structures, target)[0]
    whole = timed(model.fit, structures, target)[0]
    return {
        "crystals": len(structures),
        "experts": tags,
        "epochs": options.epochs,
        "seconds": whole,
        "of_which_not_training": reading,
        "seconds_with_embedding": whole + embedding - reading,
    }


def training(options: argparse.Namespace) -> dict[str, Any]:
    """One task's full training with each method, from a cold and from a warm cache, in one run."""
    problem = _problem(assignment(options))
    outcome = {}
    for name in options.methods:
        method = load_method(name, experts=options.experts)
        run = method.load()
        reset_peak_memory()
        with cold_cache():
            cold, _ = timed(run, problem)
            warm, result = timed(run, problem)
        outcome[name] = {
            "seconds_with_embedding": cold,
            "seconds": warm,
            "experts": len(method.experts),
            "val_mae": result.val_mae,
            "peak_memory_mib": round(peak_memory()),
        }
        say(f"{name:<16} {cold:8.1f} s from a cold cache, {warm:8.1f} s from a warm one")
    rows = {part: len(getattr(problem, part)[0]) for part in ("train", "val")}
    return {"task": options.task, "split": options.split, "rows": rows, "methods": outcome}


def scaling(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a fit against number of crystals and number of experts, from a warm cache."""
    work = assignment(options)
    names = names_of(options.experts)
    n = min(options.n, len(work.target))
    sizes = sorted({size for size in (100, 300, 1000, 3000) if size < n} | {n})
    counts = sorted({count for count in (1, 2, 5, 10, 20, 50) if count < len(names)} | {len(names)})
    points = []
    for size, count in [(size, len(names)) for size in sizes] + [(n, count) for count in counts[:-1]]:
        structures, target = work.task.structures[:size], work.target[:size]
        model = MoERegressor(names[:count], n_members=1, random_state=0)
        model.fit(structures, target)  # fills the cache
        reset_peak_memory()
        seconds, _ = timed(model.fit, structures, target)
        points.append({"crystals": size, "experts": count, "seconds": seconds, "peak_memory_mib": round(peak_memory())})
        say(f"{size:6d} crystals {count:3d} experts {seconds:8.2f} s")
    return {"task": options.task, "points": points}


def _problem(work: Assignment) -> Problem:
    def crystals(part: Any) -> list[Structure]:
        return [work.task.structures[row] for row in part]

    train, val, test = work.rows
    return Problem((crystals(train), work.target[train]), (crystals(val), work.target[val]), crystals(test), seed=0)
