"""How fast a CGCNN embeds, beside one that is written as usual."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from pymatgen.core import Structure

from benchmarks.cells.results import rounded
from benchmarks.measurements.plain_cgcnn import plain_features
from benchmarks.measurements.tools import assignment, timed
from moe_mat import load_expert
from moe_mat.encoders import CGCNNEncoder
from moe_mat.graphs import GraphBatch
from moe_mat.zoo import EncoderExpert

BATCH = 128
EQUAL = 1e-4


def encoder(options: argparse.Namespace) -> dict[str, Any]:
    """CGCNN embedding by several experts, ours against plain concatenate-then-linear ones of the same weights.

    Ours share a batch and what is derived from it, as in `moe_mat.zoo.embed`; both are given the graphs.
    """
    structures = assignment(options).task.structures[: options.n]
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
                seconds[name].append(timed(run, batches())[0])
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
