"""How fast experts embed, and whether many crystals take more and more time or memory."""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.cells.worker import peak_memory, reset_peak_memory
from benchmarks.measurements.tools import assignment, cold_cache, names_of, resident_memory, say, timed
from moe_mat import MoERegressor, load_expert
from moe_mat.crystals import LeftOut, iter_crystals
from moe_mat.files import data_folder
from moe_mat.zoo import embed, embed_stream, find_cards


def experts(options: argparse.Namespace) -> dict[str, Any]:
    """Crystals per second of each expert, and of all of them together, without a cache."""
    structures = assignment(options).task.structures[: options.n]
    rates = {}
    names = names_of(options.experts)
    embed(find_cards(names), structures[:4])
    seconds, _ = timed(embed, find_cards(names), structures)
    together = len(structures) / seconds
    say(f"{'all together':<32} {together:8.1f} crystals/s")
    for name in names:
        expert = load_expert(name)
        expert.embed(structures[:4])  # first calls compile and allocate
        reset_peak_memory()
        seconds, embeddings = timed(expert.embed, structures)
        rates[expert.tag] = {
            "crystals_per_second": len(structures) / seconds,
            "dim": embeddings.shape[1],
            "peak_memory_mib": round(peak_memory()),
        }
        say(f"{expert.tag:<32} {len(structures) / seconds:8.1f} crystals/s")
    return {"crystals": len(structures), "crystals_per_second": together, "experts": rates}


def stream(options: argparse.Namespace) -> dict[str, Any]:
    """Embedding or prediction of many crystals: throughput and memory at the start and at the end."""
    path = options.path or data_folder() / "pretrain" / "materials_project.parquet"
    left_out: list[LeftOut] = []
    crystals = islice(iter_crystals(path, on_error="skip", left_out=left_out), options.n)
    if options.what == "predict":
        work = assignment(options)
        model = MoERegressor(names_of(options.experts), n_members=1, random_state=0)
        model.fit(work.task.structures[:300], work.target[:300])
    times: list[tuple[int, float, float]] = [(0, time.perf_counter(), resident_memory())]
    reset_peak_memory()
    with cold_cache():
        for chunk, _ in embed_stream(find_cards(names_of(options.experts)), crystals, refuse=left_out.append):
            if options.what == "predict":
                model.predict([crystal.structure for crystal in chunk])
            times.append((times[-1][0] + len(chunk), time.perf_counter(), resident_memory()))
            if len(times) % 20 == 0:
                done, now, memory = times[-1]
                say(f"{done:7d} crystals, {done / (now - times[0][1]):7.1f} crystals/s, {memory:6.0f} MiB resident")
    window = min(options.window, max(1, times[-1][0] // 2))
    first = next(i for i, (done, _, _) in enumerate(times) if done >= window)
    last = max(i for i, (done, _, _) in enumerate(times) if times[-1][0] - done >= window)
    return {
        "what": options.what,
        "file": Path(path).name,
        "crystals": times[-1][0],
        "left_out": len(left_out),
        "window": window,
        "crystals_per_second": {
            "first": times[first][0] / (times[first][1] - times[0][1]),
            "last": (times[-1][0] - times[last][0]) / (times[-1][1] - times[last][1]),
            "all": times[-1][0] / (times[-1][1] - times[0][1]),
        },
        "resident_mib": {"start": times[0][2], "after_first": times[first][2], "end": times[-1][2]},
        "peak_memory_mib": round(peak_memory()),
    }
