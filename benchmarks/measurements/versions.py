"""How fast this version embeds beside another one, in turns: what else the machine does slows both."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pymatgen.core import Structure

import moe_mat
from benchmarks.measurements.tools import say
from moe_mat.crystals import iter_crystals
from moe_mat.files import commit, data_folder
from moe_mat.zoo import EncoderCard, find_cards

SIZES = {"7 atoms": (5, 9), "27 atoms": (25, 29)}
OURS, OTHER = "this", "other"
# What version 0.1 had: its encoders, and networks of the same kind, whose trunk is another one now.
OF_VERSION_1 = (
    *("chgnet", "chgnet_conv?", "magpie", "structure_features", "local_environment", "spring_network", "symmetry"),
    *("packing", "light_jarvis_*", "light_mp_*"),
)
PARTS_OF_PACKAGE = {"experts": "experts", "configs": "configs", "task_cards": "benchmarks/tasks"}


def versions(options: argparse.Namespace) -> dict[str, Any]:
    """Crystals per CPU second of this version and another one, and what several workers add."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        crystals = {size: folder / f"{size}.pickle" for size in SIZES}
        for size, structures in _crystals(options.n).items():
            crystals[size].write_bytes(pickle.dumps(structures))
        running = {OURS: stack.enter_context(_version(Path(moe_mat.__file__).parents[1], folder / OURS))}
        names = {OURS: list(options.experts or OF_VERSION_1)}
        if options.against:
            running[OTHER] = stack.enter_context(_version(options.against, folder / OTHER))
            names[OTHER] = options.against_experts

        def ask(which: str, size: str, **more: Any) -> dict[str, Any]:
            task = {"experts": names[which], "crystals": str(crystals[size]), "n": options.n, "workers": 1, **more}
            return running[which](task)

        found: dict[str, Any] = {}
        for size in SIZES:
            values = {which: str(folder / f"{which}.values") for which in running}
            for which in running:  # first calls load, compile and allocate
                experts = ask(which, size, n=4, values=values[which])["experts"]
                say(f"{size}: {which} version, {experts} experts")
            one: dict[str, list[dict[str, Any]]] = {which: [] for which in running}
            for turn in range(options.repeats):
                for which in list(running)[:: 1 if turn % 2 else -1]:
                    one[which].append(ask(which, size))
            found[size] = _compared({which: [_rates(a) for a in answers] for which, answers in one.items()})
            if options.against:
                found[size]["largest_difference"] = _difference(values)
            if options.workers > 1:
                turns = [(ask(OURS, size), ask(OURS, size, workers=options.workers)) for _ in range(options.repeats)]
                found[size]["workers"] = _of_workers(turns, options.workers)
            say(json.dumps({size: found[size]}, indent=1))
        return {
            "crystals": options.n,
            "against": None if options.against is None else options.against_name,
            "against_commit": None if options.against is None else commit(options.against.resolve()),
            "experts": names,
            "sizes": found,
        }


def _crystals(n: int) -> dict[str, list[Structure]]:
    """The first crystals of the Materials Project of each size."""
    found: dict[str, list[Structure]] = {size: [] for size in SIZES}
    for crystal in iter_crystals(data_folder() / "pretrain" / "materials_project.parquet", on_error="skip"):
        for size, (least, most) in SIZES.items():
            if least <= len(crystal.structure) <= most and len(found[size]) < n:
                found[size].append(crystal.structure)
        if all(len(structures) == n for structures in found.values()):
            break
    return found


@contextmanager
def _version(checkout: Path, folder: Path) -> Iterator[Any]:
    """A process with the package of a checkout, which answers tasks."""
    package = folder / "moe_mat"
    package.mkdir(parents=True)
    for part in (checkout / "moe_mat").iterdir():
        (package / part.name).symlink_to(part.resolve())
    for name, place in PARTS_OF_PACKAGE.items():
        if not (package / name).exists():
            (package / name).symlink_to((checkout / place).resolve())
    command = [sys.executable, str(Path(__file__).with_name("embed_version.py"))]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    tasks, answers = process.stdin, process.stdout
    assert tasks is not None
    assert answers is not None

    def ask(task: Mapping[str, Any]) -> dict[str, Any]:
        tasks.write(json.dumps(task) + "\n")
        tasks.flush()
        answer: dict[str, Any] = json.loads(answers.readline())
        return answer

    try:
        yield ask
    finally:
        tasks.close()
        process.wait()


def _rates(answer: Mapping[str, Any]) -> dict[str, float]:
    """Of what came after the first batch, before which experts are loaded."""
    (_, _, before, faults_before), *_, (_, _, after, faults_after) = answer["done"]
    n = sum(n for n, *_ in answer["done"][1:])
    return {"crystals_per_cpu_second": n / (after - before), "page_faults": (faults_after - faults_before) / n}


def _compared(rates: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    names = ("crystals_per_cpu_second", "page_faults")
    found: dict[str, Any] = {
        name: {which: median(one[name] for one in of_turns) for which, of_turns in rates.items()} for name in names
    }
    if OTHER in rates:
        pairs = zip(rates[OURS], rates[OTHER], strict=True)
        found["ratio"] = median(ours[names[0]] / other[names[0]] for ours, other in pairs)
    return found


def _difference(values: dict[str, str]) -> float:
    """Largest difference over the columns of experts that both versions compute, in units of the largest number."""
    ours, other = (pickle.loads(Path(values[which]).read_bytes()) for which in (OURS, OTHER))
    same = [card.tag for card in find_cards(list(ours)) if isinstance(card, EncoderCard) and card.tag in other]
    differences = [
        np.abs(ours[tag] - other[tag]).max(axis=0) / np.maximum(np.abs(other[tag]).max(axis=0), 1) for tag in same
    ]
    return float(max(one.max() for one in differences))


def _of_workers(turns: Sequence[tuple[dict[str, Any], dict[str, Any]]], workers: int) -> dict[str, Any]:
    """Crystals per second by the clock, after the first portions, in which processes start."""

    def rate(answer: Mapping[str, Any], first: int) -> float:
        done = answer["done"][first - 1 :]
        return sum(n for n, *_ in done[1:]) / (done[-1][1] - done[0][1])

    rates = [(rate(one, 1), rate(several, workers)) for one, several in turns]
    return {
        "workers": workers,
        "crystals_per_second": {"1": median(a for a, _ in rates), str(workers): median(b for _, b in rates)},
        "ratio": median(b / a for a, b in rates),
    }
