"""Prediction over a folder as it comes: files of all formats, some of them hostile."""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from benchmarks.measurements.tools import assignment, say, timed

N_TRAINING = 300


_CORNERS = [[i / 2, j / 2, k / 2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]

# Name of a file to what is in it; each must be named and must not cost the others their prediction.
HOSTILE_FILES: dict[str, Callable[[], bytes]] = {
    "nanometres.cif": lambda: _cif(0.56, ["Na", "Cl"] * 4, _CORNERS).encode(),
    "tiny.cif": lambda: _cif(0.7, ["Na", "Cl"] * 4, _CORNERS).encode(),
    "empty.cif": lambda: b"",
    "page.cif": lambda: b"<!DOCTYPE html><html>403 Forbidden</html>",
    "cut.cif": lambda: _cif(5.64, ["Na", "Cl"] * 4, _CORNERS).encode()[:400],
    "noise.cif": lambda: bytes(range(256)) * 40,
    "disordered.cif": lambda: _cif(4.0, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]).encode(),
    "overlapping.cif": lambda: _cif(4.0, ["Na", "Na"], [[0, 0, 0], [0, 0, 1e-4]]).encode(),
    "flat.vasp": lambda: b"flat\n1.0\n4 0 0\n0 4 0\n4 4 0\nNa\n1\ndirect\n0 0 0\n",
    "unnamed.vasp": lambda: b"no symbols\n1.0\n4 0 0\n0 4 0\n0 0 4\n1\ndirect\n0 0 0\n",
    "nan.vasp": lambda: b"nan\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa\n1\ndirect\nnan 0 0\n",
    "zero.vasp": lambda: b"zero\n0.0\n4 0 0\n0 4 0\n0 0 4\nNa\n1\ndirect\n0 0 0\n",
    "many.vasp": lambda: b"many\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa\n999999999\ndirect\n0 0 0\n",
    "brackets.json": lambda: b"[" * 200_000,
    "number.json": lambda: b"7",
    "list.json": lambda: b'{"lattice": "cubic", "sites": "all"}',
    "bomb.json.gz": lambda: gzip.compress(b" " * 300_000_000, 9),
    "frames.extxyz": lambda: b'1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nNa 0 0 0\n' * 2,
    "molecule.xyz": lambda: b"2\nhydrogen\nH 0 0 0\nH 0 0 0.74\n",
    "unknown.vasp": lambda: b"og\n1.0\n6 0 0\n0 6 0\n0 0 6\nOg\n1\ndirect\n0 0 0\n",
}


def _cif(edge: float, species: Sequence[str | dict[str, float]], positions: Sequence[Sequence[float]]) -> str:
    return str(Structure(Lattice.cubic(edge), species, positions).to(fmt="cif"))


def _write(structure: Structure, path: Path) -> None:
    """A crystal in the format that the name asks for."""
    if path.suffix == ".extxyz":
        AseAtomsAdaptor.get_atoms(structure).write(path, format="extxyz")
    else:
        content: Any = structure.to(
            fmt="poscar" if path.suffix == ".vasp" else "cif" if path.suffix == ".cif" else "json"
        )
        path.write_text(content, encoding="utf-8")


def mixed(options: argparse.Namespace) -> dict[str, Any]:
    """Prediction of a folder of mixed files, 20 of them hostile: what is predicted, what is named, and the memory."""
    work = assignment(options)
    good = options.n - len(HOSTILE_FILES)
    structures = [work.task.structures[row % len(work.task.structures)] for row in range(good)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crystals = folder / "crystals"
        crystals.mkdir()
        for number, structure in enumerate(structures):
            _write(structure, crystals / f"c{number}{('.cif', '.vasp', '.json', '.extxyz')[number % 4]}")
        for file, content in HOSTILE_FILES.items():
            (crystals / file).write_bytes(content())
        checkpoint = trained(options, folder)
        command = ["predict", "--ckpt_path", checkpoint, "--data.path", "crystals", "--data.on_error", "skip"]
        seconds, (said, memory) = timed(_run, command, folder)
        table = pd.read_csv(folder / "predictions.csv")
        named = [file for file in HOSTILE_FILES if file in said]
    say(f"{len(table)} of {good} good files predicted, {len(named)} of {len(HOSTILE_FILES)} hostile ones named")
    return {
        "files": options.n,
        "predicted": len(table),
        "hostile": len(HOSTILE_FILES),
        "named": len(named),
        "seconds": seconds,
        "peak_memory_mib": round(memory),
    }


def trained(options: argparse.Namespace, folder: Path) -> str:
    """The checkpoint of a fit on some crystals of the task, in a process of its own."""
    work = assignment(options)
    rows = range(min(N_TRAINING, len(work.target)))
    data = folder / "training"
    data.mkdir()
    for row in rows:
        _write(work.task.structures[row], data / f"t{row}.vasp")
    values = pd.DataFrame({"file": [f"t{row}.vasp" for row in rows], "y": work.target[: len(rows)]})
    values.to_csv(data / "values.csv", index=False)
    experts = [f"--model.experts=[{','.join(options.experts)}]"] if options.experts else []
    _run(["fit", "--data.path", "training", "--data.target", "y", *experts], folder)
    return str(folder / "runs" / "training" / "version_0" / "checkpoints" / "best.ckpt")


def _run(arguments: Sequence[str], folder: Path) -> tuple[str, float]:
    """A command in a folder: what it said, and its largest resident memory in MiB.

    Raises:
        ValueError: the command failed.
    """
    environment = {**os.environ, "MOE_MAT_CACHE": str(folder / "cache"), "PYTHONPATH": os.getcwd()}
    log = folder / "said.txt"
    with log.open("w") as file:
        command = [sys.executable, "-m", "moe_mat", *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    said = log.read_text(encoding="utf-8", errors="replace")
    if status:
        raise ValueError(f"moe-mat {' '.join(arguments)} ended with {status}: {said[-500:]}")
    return said, usage.ru_maxrss / 1024
