"""How a problem gets to a peer and its answer back: a folder of files, and one process with its own environment.

In: ``rows.parquet``, a row a crystal, with ``part`` (train, val, test), ``target`` (NaN of test rows), ``key`` (the
same for the same crystal) and OPTIMADE's columns of structures; and ``settings.json``. Out: ``answer.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from benchmarks.peers.environments import PEERS, folder_of, python_of
from moe_mat.crystals import structure_key

# The peer's own libraries work with one thread, as all methods do, and do not look for a GPU.
VARIABLES = {
    "CUDA_VISIBLE_DEVICES": "",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}
# Seconds after which a peer is taken to hang.
TIME_LIMIT = 7200.0
# Lines of a peer's output that an error repeats.
LAST_LINES = 15


class PeerError(RuntimeError):
    """A peer gave no answer; the message has the end of its output."""


def rows_of(parts: Mapping[str, tuple[list[Structure], np.ndarray | None]]) -> pd.DataFrame:
    """The rows of a problem.

    Args:
        parts: name -> crystals, and targets ``[n]`` or None for those that nobody may see.
    """
    rows = [
        {
            "part": part,
            "target": np.nan if targets is None else float(targets[number]),
            "key": structure_key(structure).hex(),
            "lattice_vectors": structure.lattice.matrix.tolist(),
            "cartesian_site_positions": structure.cart_coords.tolist(),
            "species_at_sites": [site.specie.symbol for site in structure],
        }
        for part, (structures, targets) in parts.items()
        for number, structure in enumerate(structures)
    ]
    return pd.DataFrame(rows)


def ask(peer: str, rows: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A peer's answer: ``predictions`` and ``std`` of the test rows, ``val_mae``, ``chosen``, ``tried``, ``versions``.

    Args:
        peer: its name.
        rows: as `rows_of` makes them.
        settings: what its ``fit.py`` takes.

    Raises:
        FileNotFoundError: the peer has no environment.
        PeerError: it failed, or took too long.
    """
    python, kept = python_of(peer), folder_of(peer) / "features.sqlite"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows.to_parquet(folder / "rows.parquet")
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        log = folder / "output.txt"
        problem = "it failed"
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    [str(python), str(PEERS / peer / "fit.py"), str(folder), str(kept)],
                    stdin=subprocess.DEVNULL,  # who waits for a terminal, waits forever
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **VARIABLES},
                    timeout=TIME_LIMIT,
                    check=False,
                )
                if done.returncode == 0:
                    found: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
                    return found
            except subprocess.TimeoutExpired:
                problem = f"it was ended after {TIME_LIMIT:.0f} s"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        raise PeerError("\n".join([f"{peer} gave no answer: {problem}; its last words:", *lines]))
