"""A long list of crystals in parts: by the shards of an array and by a Ray cluster, each with a kill in the middle."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cells.worker import provenance
from benchmarks.measurements.long_list import write_long_list
from benchmarks.measurements.mixed_folder import trained
from benchmarks.measurements.tools import say
from moe_mat.files import CACHE_VARIABLE, write_text

SHARDS = 8
WORKERS = 2


def parts(options: argparse.Namespace) -> dict[str, Any]:
    """A long list in parts, by 8 shards and by a Ray cluster: kills, memory of a worker, throughput, equal outputs."""
    of = {"crystals": options.n, "experts": options.experts or ["default"]}
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        commands = {
            "embed": ["embed", "list", f"--experts=[{','.join(of['experts'])}]"],
            "predict": ["predict", "list", "--ckpt_path", _prepare(options, folder, of)],
        }
        found = {
            f"{what} by {way}": _once(folder, way, what, command) for way in WAYS for what, command in commands.items()
        }
        differences = {
            what: _differences(*(folder / f"{what} by {way}" for way in WAYS)) for what in ("embed", "predict")
        }
    return {**of, "shards": SHARDS, "workers": WORKERS, "runs": found, "shards_against_ray": differences}


def _prepare(options: argparse.Namespace, folder: Path, of: Mapping[str, Any]) -> str:
    """Write the list and train a mixture, where an earlier run has not; returns the checkpoint.

    Args:
        options: Of the command line.
        folder: Where they lie.
        of: What the measurement is of, by which an earlier run is known.

    Raises:
        ValueError: When the earlier run was another one.
    """
    path = folder / "prepared.json"
    if not path.exists():
        for name in ("list", "training", "runs"):
            shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_long_list(folder / "list", options.n)
        write_text(path, json.dumps({"of": of, "checkpoint": trained(options, folder)}))
    prepared = json.loads(path.read_text())
    if prepared["of"] != of:
        raise ValueError(f"{folder} is of {prepared['of']} and not of {of}: take another --folder")
    return str(prepared["checkpoint"])


def _once(folder: Path, way: str, what: str, command: Sequence[str]) -> dict[str, Any]:
    """Run a command unless an earlier run has done so; what it left unfinished is begun again."""
    name, cache = f"{what} by {way}", folder / f"cache of {way}"
    path = folder / f"{name}.json"
    if not path.exists():
        for left in (folder / name, *([cache] if what == "embed" else [])):
            shutil.rmtree(left, ignore_errors=True)
        environment = {**os.environ, CACHE_VARIABLE: str(cache), "PYTHONPATH": os.getcwd()}
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with WAYS[way](environment) as in_parts:
            found = in_parts(command, folder, name)
        write_text(path, json.dumps(found | {"commit": provenance()["commit"]}))
        say(f"{name}: {json.dumps(found)}")
    return dict(json.loads(path.read_text()))


InParts = Callable[[Sequence[str], Path, str], dict[str, Any]]
"""Runs a command on the list, with an output of some name, and kills something in the middle."""


@contextmanager
def _by_shards(environment: dict[str, str]) -> Iterator[InParts]:
    def run(command: Sequence[str], folder: Path, output: str) -> dict[str, Any]:
        waiting = [f"{shard}/{SHARDS}" for shard in range(1, SHARDS + 1)]
        running: dict[subprocess.Popen[bytes], str] = {}
        watch = _Watch(folder / output)
        while waiting or running:
            while waiting and len(running) < WORKERS:
                shard = waiting.pop(0)
                running[_start([*command, "--output", output, "--shards", shard], folder, environment)] = shard
            watch.look([process.pid for process in running])
            for process, shard in list(running.items()):
                if watch.kills_now():
                    process.send_signal(signal.SIGKILL)
                if (ended := process.poll()) is not None:
                    del running[process]
                    if ended == -signal.SIGKILL:
                        waiting.append(shard)  # as a user would give the same command again
                    elif ended:
                        raise ValueError(f"shard {shard} of {command[0]} ended with {ended}: {_said(folder)}")
        return watch.found()

    yield run


@contextmanager
def _by_ray(environment: dict[str, str]) -> Iterator[InParts]:
    # A cluster for this process and its own commands, which a token would keep out.
    environment = environment | {"RAY_AUTH_MODE": "disabled"}

    def run(command: Sequence[str], folder: Path, output: str) -> dict[str, Any]:
        watch = _Watch(folder / output)
        arguments = [*command, "--output", output, "--engine", "ray", "--workers", str(WORKERS)]
        process = _start(arguments, folder, environment | {"RAY_ADDRESS": address})
        while process.poll() is None:
            workers = _processes(b"ray::_Worker")
            watch.look(workers)
            if workers and watch.kills_now():
                os.kill(workers[0], signal.SIGKILL)
        if process.returncode:
            raise ValueError(f"{command[0]} on Ray ended with {process.returncode}: {_said(folder)}")
        return watch.found()

    before = dict(os.environ)
    os.environ.update(environment)  # of the nodes
    import ray

    try:
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        address = ray.get_runtime_context().gcs_address
        yield run
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)


WAYS = {"shards": _by_shards, "ray": _by_ray}


class _Watch:
    """What can be seen of a run from outside.

    Args:
        output: Its folder of parts.
    """

    def __init__(self, output: Path) -> None:
        self._output, self._start = output, time.time()
        self._peak, self._killed = 0.0, 0

    def look(self, workers: Sequence[int]) -> None:
        """Wait a little, and note the memory of workers."""
        time.sleep(1)
        self._peak = max([self._peak, *map(_peak_memory, workers)])

    def kills_now(self) -> bool:
        """Whether half of the parts are there, and nothing was killed."""
        plan = self._output / "_plan.json"
        if self._killed or not plan.exists():
            return False
        content, done = json.loads(plan.read_text()), len(list(self._output.glob("_part-*.json")))
        if 2 * done < content["rows"] / content["rows_of_a_part"]:
            return False
        self._killed = done
        return True

    def found(self) -> dict[str, Any]:
        """Throughput over all, over the first and the last quarter of the parts, and memory."""
        records = sorted(self._output.glob("_part-*.json"), key=lambda path: path.stat().st_mtime)
        ends = np.array([self._start, *(path.stat().st_mtime for path in records)])
        rows = np.cumsum([0, *(json.loads(path.read_text())["written"] for path in records)])
        quarter = max(1, len(records) // 4)

        def rate(first: int, last: int) -> float:
            return float((rows[last] - rows[first]) / (ends[last] - ends[first]))

        return {
            "parts": len(records),
            "rows": int(rows[-1]),
            "killed_after_parts": self._killed,
            "seconds": time.time() - self._start,
            "crystals_per_second": {
                "all": rate(0, len(records)),
                "first_quarter": rate(0, quarter),
                "last_quarter": rate(len(records) - quarter, len(records)),
            },
            "peak_memory_of_a_worker_mib": round(self._peak),
        }


def _start(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "said.txt").open("ab") as log:
        arguments = [sys.executable, "-m", "moe_mat", *command]
        return subprocess.Popen(arguments, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _said(folder: Path) -> str:
    return (folder / "said.txt").read_text(encoding="utf-8", errors="replace")[-500:]


def _processes(name: bytes) -> list[int]:
    """Those whose command begins with a name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(name):
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def _peak_memory(process: int) -> float:
    """Largest resident memory of a process so far, MiB."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _differences(one: Path, other: Path) -> dict[str, Any]:
    """Between two folders of parts: share of the rows of the same bits, and the largest difference of a number."""
    tables = [sorted(folder.glob("part-*.parquet")) for folder in (one, other)]
    same: Any = True
    largest = 0.0
    for field in pq.read_schema(tables[0][0]):
        a, b = (_column(files, field) for files in tables)
        same &= (a == b).reshape(len(a), -1).all(axis=1)
        if a.dtype.kind == "f":
            largest = max(largest, float(np.abs(a - b).max() / np.abs(a).max()))
    return {"share_of_same_rows": float(np.mean(same)), "largest_difference_of_a_column": largest}


def _column(files: Sequence[Path], field: pa.Field) -> np.ndarray:
    """A column of all parts ``[n]`` or ``[n, width]``."""
    values = pa.concat_tables([pq.read_table(path, columns=[field.name]) for path in files])[field.name]
    if pa.types.is_fixed_size_list(field.type):
        return values.combine_chunks().flatten().to_numpy().reshape(len(values), -1)
    return values.to_numpy()
