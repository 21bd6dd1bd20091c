"""How fast it is, and how much memory it takes: ``python -m benchmarks.speed --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.cells.worker import provenance
from benchmarks.measurements.atoms import atoms
from benchmarks.measurements.cold_sweep import cold_sweep
from benchmarks.measurements.embedding import experts, stream
from benchmarks.measurements.encoder import encoder
from benchmarks.measurements.mixed_folder import mixed
from benchmarks.measurements.parts import parts
from benchmarks.measurements.sets import sets
from benchmarks.measurements.tools import say
from benchmarks.measurements.training import head, scaling, training
from benchmarks.measurements.versions import versions
from moe_mat.files import write_text

RESULTS = Path(__file__).parent / "speed"
# Each returns what its JSON file says.
MEASUREMENTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "encoder": encoder,
    "head": head,
    "experts": experts,
    "atoms": atoms,
    "sets": sets,
    "training": training,
    "scaling": scaling,
    "stream": stream,
    "mixed": mixed,
    "parts": parts,
    "versions": versions,
    "cold-sweep": cold_sweep,
}

# Where they are not 1,000.
N_CRYSTALS = {"atoms": 50, "sets": 20, "stream": 100_000, "mixed": 2000, "parts": 200_000, "versions": 300}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Speed and memory.")
    measurements = parser.add_subparsers(dest="measurement", required=True)
    for name, measure in MEASUREMENTS.items():
        one = measurements.add_parser(name, help=str(measure.__doc__).splitlines()[0])
        one.add_argument("--data", type=Path, help="folder of prepared data; by default MOE_MAT_DATA")
        one.add_argument("--task", default="mp_phonons")
        one.add_argument("--split", type=int, default=0)
        one.add_argument("--threads", type=int, default=1)
        one.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON files")
        if name not in ("training", "cold-sweep"):
            one.add_argument("-n", type=int, default=N_CRYSTALS.get(name, 1000), help="number of crystals")
        of_measurement = {"encoder": "CGCNNs with random weights", "versions": "such as version 0.1 had"}
        default = of_measurement.get(name, "the default ones")
        if name != "sets":
            one.add_argument(
                "--experts", nargs="+", default=[], help=f"tags, patterns or folders; by default {default}"
            )
    options = measurements.choices
    options["encoder"].add_argument("--encoders", type=int, default=18, help="number of random CGCNNs")
    options["encoder"].add_argument("--repeats", type=int, default=5)
    options["head"].add_argument("--epochs", type=int, default=200)
    options["training"].add_argument("--methods", nargs="+", default=["moe", "moe-published"])
    options["stream"].add_argument("--what", choices=["embed", "predict"], default="embed")
    options["stream"].add_argument("--path", type=Path, help="crystals; by default pretrain/materials_project.parquet")
    options["stream"].add_argument("--window", type=int, default=10_000, help="crystals at start and end to compare")
    options["parts"].add_argument("--folder", type=Path, help="where lists and outputs lie, 40 GB; goes on there")
    for name, what in {"versions": "to compare with", "cold-sweep": "to measure in place of this one"}.items():
        options[name].add_argument("--against", type=Path, help=f"checkout of another version {what}")
        options[name].add_argument("--against-name", help="what the result calls it")
    options["cold-sweep"].add_argument("--python", default=sys.executable, help="interpreter that has that version")
    options["cold-sweep"].add_argument("--methods", nargs="+", default=["moe"])
    options["cold-sweep"].add_argument("--tasks", nargs="+", default=["all"])
    options["cold-sweep"].add_argument("--workers", type=int, default=2)
    options["cold-sweep"].add_argument("--folder", type=Path, help="where cache and cells lie meanwhile")
    options["versions"].add_argument("--against-experts", nargs="+", default=["default"], help="those of that version")
    options["versions"].add_argument("--workers", type=int, default=1, help="processes to compare with one")
    options["versions"].add_argument("--repeats", type=int, default=3)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one measurement; its JSON names machine, versions and commit."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    measured = MEASUREMENTS[options.measurement](options)
    machine = {"processor": _processor(), "cores": os.cpu_count(), "threads": options.threads, "load": load_before}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"measurement": options.measurement, **measured, **provenance(), "machine": machine, "when": when}
    path = options.output / f"{options.measurement}.json"
    write_text(path, json.dumps(content, indent=1) + "\n")
    if "ratio" in measured:
        rates = measured["crystals_per_second"]
        say(
            f"ours {rates['ours']:.0f} crystals/s, plain {rates['plain']:.0f} crystals/s, ratio {measured['ratio']:.2f}"
        )
    else:
        say(json.dumps({key: value for key, value in measured.items() if key not in ("experts", "points")}, indent=1))
    say(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
