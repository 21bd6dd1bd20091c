"""What `benchmarks.speed` measures: each function is one measurement and returns what its JSON file says."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pymatgen.core import Structure

from benchmarks.cells.protocols import Assignment, assign_rows
from benchmarks.cells.results import Cell, rounded
from benchmarks.cells.worker import peak_memory, reset_peak_memory
from benchmarks.measurements.plain_cgcnn import plain_features
from benchmarks.methods.cards import load_method
from benchmarks.methods.problem import Problem
from moe_mat import MoERegressor, load_expert
from moe_mat.crystals import LeftOut, iter_crystals
from moe_mat.encoders import CGCNNEncoder
from moe_mat.files import CACHE_VARIABLE, data_folder
from moe_mat.graphs import GraphBatch
from moe_mat.tasks import TaskCards, read_task
from moe_mat.zoo import EncoderExpert, embed, embed_stream, find_cards

BATCH = 128
EQUAL = 1e-4


def encoder(options: argparse.Namespace) -> dict[str, Any]:
    """CGCNN embedding by several experts, ours against plain concatenate-then-linear ones of the same weights.

    Ours share a batch and what is derived from it, as in `moe_mat.zoo.embed`; both are given the graphs.
    """
    structures = _assignment(options).task.structures[: options.n]
    ours = [_cgcnn(name) for name in options.experts] or [
        _random_encoder(structures[:200], seed=seed) for seed in range(options.encoders)
    ]
    start = time.perf_counter()
    graphs = [ours[0].prepare(structure) for structure in structures]
    seconds_of_graphs = time.perf_counter() - start

    def batches() -> list[GraphBatch]:  # new ones for each run: they remember what was derived from them
        return [ours[0].collate(graphs[i : i + BATCH]) for i in range(0, len(graphs), BATCH)]

    def with_ours(batches: list[GraphBatch]) -> list[torch.Tensor]:
        return [list(one(batch).nodes.values())[-1] for batch in batches for one in ours]

    def with_plain(batches: list[GraphBatch]) -> list[torch.Tensor]:
        return [plain_features(one, batch) for batch in batches for one in ours]

    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    with torch.inference_mode():
        pairs = zip(with_ours(batches()), with_plain(batches()), strict=True)
        difference = max(float((a - b).abs().max()) for a, b in pairs)
        if difference > EQUAL:
            raise ValueError(f"the two encoders differ by {difference:.2g}: their speeds must not be compared")
        for _ in range(options.repeats):  # in turn, so that what else the machine does slows both
            for name, run in (("ours", with_ours), ("plain", with_plain)):
                seconds[name].append(_timed(run, batches())[0])
    rates = {name: len(structures) / median(times) for name, times in seconds.items()}
    return {
        "crystals": len(structures),
        "atoms": sum(len(structure) for structure in structures),
        "encoders": len(ours),
        "largest_difference": difference,
        "crystals_per_second": rates,
        "ratio": rates["ours"] / rates["plain"],
        "seconds": {name: rounded(times) for name, times in seconds.items()},
        "graphs_per_second": len(structures) / seconds_of_graphs,
    }


def _cgcnn(name: str) -> CGCNNEncoder:
    expert = load_expert(name)
    if not isinstance(expert, EncoderExpert) or not isinstance(expert.encoder, CGCNNEncoder):
        raise ValueError(f"expert {name} is not a CGCNN")
    return expert.encoder


def head(options: argparse.Namespace) -> dict[str, Any]:
    """Training of gate and head on cached embeddings: 1,000 crystals, 20 experts, 200 epochs, unless told otherwise."""
    work = _assignment(options)
    structures, target = work.task.structures[: options.n], work.target[: options.n]
    tags = _names(options.experts)[:20]
    model = MoERegressor(
        tags, head="mlp", n_members=1, max_epochs=options.epochs, patience=options.epochs, random_state=0
    )
    short = MoERegressor(tags, head="mlp", n_members=1, max_epochs=1, random_state=0)
    embedding = _timed(short.fit, structures, target)[0]
    reading = _timed(short.fit, structures, target)[0]
    whole = _timed(model.fit, structures, target)[0]
    return {
        "crystals": len(structures),
        "experts": tags,
        "epochs": options.epochs,
        "seconds": whole,
        "of_which_not_training": reading,
        "seconds_with_embedding": whole + embedding - reading,
    }


def experts(options: argparse.Namespace) -> dict[str, Any]:
    """Crystals per second of each expert, and of all of them together, without a cache."""
    structures = _assignment(options).task.structures[: options.n]
    rates = {}
    names = _names(options.experts)
    embed(find_cards(names), structures[:4])
    seconds, _ = _timed(embed, find_cards(names), structures)
    together = len(structures) / seconds
    say(f"{'all together':<32} {together:8.1f} crystals/s")
    for name in names:
        expert = load_expert(name)
        expert.embed(structures[:4])  # first calls compile and allocate
        reset_peak_memory()
        seconds, embeddings = _timed(expert.embed, structures)
        rates[expert.tag] = {
            "crystals_per_second": len(structures) / seconds,
            "dim": embeddings.shape[1],
            "peak_memory_mib": round(peak_memory()),
        }
        say(f"{expert.tag:<32} {len(structures) / seconds:8.1f} crystals/s")
    return {"crystals": len(structures), "crystals_per_second": together, "experts": rates}


def training(options: argparse.Namespace) -> dict[str, Any]:
    """One task's full training with each method, from a cold and from a warm cache, in one run."""
    problem = _problem(_assignment(options))
    outcome = {}
    for name in options.methods:
        method = load_method(name, experts=options.experts)
        run = method.load()
        reset_peak_memory()
        with _cold_cache():
            cold, _ = _timed(run, problem)
            warm, result = _timed(run, problem)
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
    work = _assignment(options)
    names = _names(options.experts)
    n = min(options.n, len(work.target))
    sizes = sorted({size for size in (100, 300, 1000, 3000) if size < n} | {n})
    counts = sorted({count for count in (1, 2, 5, 10, 20, 50) if count < len(names)} | {len(names)})
    points = []
    for size, count in [(size, len(names)) for size in sizes] + [(n, count) for count in counts[:-1]]:
        structures, target = work.task.structures[:size], work.target[:size]
        model = MoERegressor(names[:count], n_members=1, random_state=0)
        model.fit(structures, target)  # fills the cache
        reset_peak_memory()
        seconds, _ = _timed(model.fit, structures, target)
        points.append({"crystals": size, "experts": count, "seconds": seconds, "peak_memory_mib": round(peak_memory())})
        say(f"{size:6d} crystals {count:3d} experts {seconds:8.2f} s")
    return {"task": options.task, "points": points}


def stream(options: argparse.Namespace) -> dict[str, Any]:
    """Embedding or prediction of many crystals: throughput and memory at the start and at the end."""
    path = options.path or data_folder() / "pretrain" / "materials_project.parquet"
    left_out: list[LeftOut] = []
    crystals = islice(iter_crystals(path, on_error="skip", left_out=left_out), options.n)
    if options.what == "predict":
        work = _assignment(options)
        model = MoERegressor(_names(options.experts), n_members=1, random_state=0)
        model.fit(work.task.structures[:300], work.target[:300])
    times: list[tuple[int, float, float]] = [(0, time.perf_counter(), _resident())]
    reset_peak_memory()
    with _cold_cache():
        for chunk, _ in embed_stream(find_cards(_names(options.experts)), crystals, refuse=left_out.append):
            if options.what == "predict":
                model.predict([crystal.structure for crystal in chunk])
            times.append((times[-1][0] + len(chunk), time.perf_counter(), _resident()))
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


def _random_encoder(structures: Sequence[Structure], *, seed: int) -> CGCNNEncoder:
    """Random weights, and the normalisation statistics of some crystals, without which features grow beyond measure."""
    torch.manual_seed(seed)
    encoder = CGCNNEncoder(pad=True).train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = None  # the plain mean
    with torch.no_grad():
        for _ in range(4):
            encoder(encoder.collate([encoder.prepare(structure) for structure in structures]))
    return encoder.eval()


def _assignment(options: argparse.Namespace) -> Assignment:
    cards = TaskCards()
    task = read_task(cards.of(options.task), options.data)
    return assign_rows(Cell(options.task, options.split, "speed"), task, cards.unit(options.task))


def _problem(work: Assignment) -> Problem:
    def crystals(part: Any) -> list[Structure]:
        return [work.task.structures[row] for row in part]

    train, val, test = work.rows
    return Problem((crystals(train), work.target[train]), (crystals(val), work.target[val]), crystals(test), seed=0)


def _names(names: Sequence[str]) -> list[str]:
    return [card.reference for card in find_cards(list(names) or "default")]


def _timed(run: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run(*arguments)
    return time.perf_counter() - start, result


@contextmanager
def _cold_cache() -> Iterator[None]:
    """An empty embedding cache, for once."""
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[CACHE_VARIABLE]
            if before is not None:
                os.environ[CACHE_VARIABLE] = before


def _resident() -> float:
    """Resident memory now, MiB; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "encoder": encoder,
    "head": head,
    "experts": experts,
    "training": training,
    "scaling": scaling,
    "stream": stream,
}
