"""Data of one's own in every format, and small runs on them, as a user of the command line has them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
from ase.io import write
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pytorch_lightning.callbacks import Callback

from moe_mat.crystals import load_quickstart

N_CRYSTALS = 20
TESTS = str(Path(__file__).parents[1])

Run = Callable[..., int]


class Killed(Callback):
    """Ends the process as a power cut would, or sends it another signal: at an epoch, or (-1) after the last one."""

    def __init__(self, epoch: int, signal_name: str = "SIGKILL") -> None:
        self.epoch, self.signal = epoch, getattr(signal, signal_name)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), self.signal)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.epoch < 0:
            os.kill(os.getpid(), self.signal)


def killed(epoch: int, signal_name: str = "SIGKILL") -> list[str]:
    """Options of a fit that is ended at an epoch; `TESTS` must be in PYTHONPATH."""
    callback = ["--trainer.callbacks=cli.own_runs.Killed", f"--trainer.callbacks.epoch={epoch}"]
    return [*callback, f"--trainer.callbacks.signal_name={signal_name}", "--allow-import=cli.own_runs"]


def crystals() -> tuple[list[Structure], pd.DataFrame]:
    structures, table = load_quickstart()
    table = table[["material_id", "bulk_modulus"]][:N_CRYSTALS].rename(columns={"material_id": "name"})
    return structures[:N_CRYSTALS], table.reset_index(drop=True)


def write_csv(folder: Path) -> Path:
    structures, table = crystals()
    (folder / "cif").mkdir(parents=True)
    for name, structure in zip(table["name"], structures, strict=True):
        structure.to(filename=str(folder / "cif" / f"{name}.cif"))
    table.assign(file="cif/" + table["name"] + ".cif").to_csv(folder / "own.csv", index=False)
    return folder / "own.csv"


def write_folder(folder: Path) -> Path:
    structures, table = crystals()
    (folder / "own").mkdir(parents=True)
    for name, structure in zip(table["name"], structures, strict=True):
        structure.to(filename=str(folder / "own" / f"{name}.vasp"), fmt="poscar")
    table.rename(columns={"name": "file"}).to_csv(folder / "own" / "values.csv", index=False)
    return folder / "own"


def write_json(folder: Path) -> Path:
    structures, table = crystals()
    records = table.assign(structure=[structure.as_dict() for structure in structures]).to_dict("records")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.json").write_text(json.dumps(records))
    return folder / "own.json"


def write_parquet(folder: Path) -> Path:
    structures, table = crystals()
    columns = {
        "lattice_vectors": [structure.lattice.matrix.tolist() for structure in structures],
        "cartesian_site_positions": [structure.cart_coords.tolist() for structure in structures],
        "species_at_sites": [[str(site.specie) for site in structure] for structure in structures],
    }
    folder.mkdir(parents=True, exist_ok=True)
    table.assign(**columns).to_parquet(folder / "own.parquet")
    return folder / "own.parquet"


def write_extxyz(folder: Path) -> Path:
    structures, table = crystals()
    frames = []
    for structure, row in zip(structures, table.to_dict("records"), strict=True):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.info = row
        frames.append(atoms)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "own.extxyz", frames, format="extxyz")
    return folder / "own.extxyz"


WRITERS = {"csv": write_csv, "folder": write_folder, "json": write_json, "parquet": write_parquet, "xyz": write_extxyz}


def small(**settings: object) -> list[str]:
    """Settings of a run of a second."""
    known: dict[str, object] = {"model.experts": "magpie", "trainer.max_epochs": 3, "trainer.accelerator": "cpu"}
    return [f"--{name}={value}" for name, value in {**known, **settings}.items()]


def run_folder(name: str = "own", version: int = 0) -> Path:
    return Path("runs") / name / f"version_{version}"


def checkpoint(name: str = "own", version: int = 0) -> Path:
    return run_folder(name, version) / "checkpoints" / "best.ckpt"


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    rows = json.loads((folder / "metrics.json").read_text())["metrics"]
    return {row["part"]: row for row in rows}
