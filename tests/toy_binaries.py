"""A source of made-up binaries, and a recipe that trains experts of both kinds on it in seconds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from ase.data import atomic_numbers
from pymatgen.core import Lattice

from moe_mat.pretrain.run import pretrain
from moe_mat.zoo.cards import ExpertCard

CATIONS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ga", "Ti", "V", "Fe", "Ni"]
ANIONS = ["O", "S", "Se", "F", "Cl", "Br", "N", "P"]

RECIPE: dict[str, Any] = {
    "name": "toy",
    "dataset": "Made-up binaries",
    "file": "toy.parquet",
    "license": "CC0",
    "citation": "nobody",
    "targets": {
        "hardness": {"unit": "GPa", "transform": "log", "keep": ["0 < hardness < 900"]},
        "difference": {"property": "z_difference", "value": "z_cation - z_anion", "limits": [None, 30]},
    },
    "networks": {
        "trunk": ["magpie"],
        "max_epochs": 6,
        "batch_size": 16,
        "body": [32, 16],
        "tower": [8],
        "groups": {"all": ["hardness", "difference"]},
    },
    "cgcnn": {
        "max_epochs": 6,
        "batch_size": 16,
        "learning_rate": 0.01,
        "encoder": {"width": 16, "n_convolutions": 2},
        "targets": ["difference"],
    },
}


def write_binaries(folder: Path) -> Path:
    """Binaries in the rocksalt and the caesium chloride structure; their values depend on the elements."""
    rows: list[dict[str, Any]] = []
    for number, (cation, anion, packing) in enumerate(itertools.product(CATIONS, ANIONS, ("rocksalt", "CsCl"))):
        a = 3.0 + 0.01 * (atomic_numbers[cation] + atomic_numbers[anion])
        lattice = Lattice([[0, a, a], [a, 0, a], [a, a, 0]]).matrix / 1.4 if packing == "rocksalt" else np.eye(3) * a
        rows.append(
            {
                "lattice_vectors": np.asarray(lattice).tolist(),
                "cartesian_site_positions": [[0.0, 0.0, 0.0], (np.asarray(lattice).sum(0) / 2).tolist()],
                "species_at_sites": [cation, anion],
                "material_id": f"toy-{number}",
                "z_cation": float(atomic_numbers[cation]),
                "z_anion": float(atomic_numbers[anion]),
                "hardness": float(np.exp(atomic_numbers[anion] / 10)),
            }
        )
    rows[0]["hardness"] = -3.0  # refused by keep
    rows[1]["hardness"] = float("nan")
    for name in ("hardness", "z_cation"):
        rows[2][name] = float("nan")  # no target left
    rows[3]["species_at_sites"] = ["Li", "Nonsense"]
    pd.DataFrame(rows).to_parquet(folder / "toy.parquet")
    return folder


def write_recipe(folder: Path, **changes: Any) -> Path:
    """The recipe with other entries in place of its own; those that are ``None`` are left out."""
    path = folder / "toy.yaml"
    content = {name: value for name, value in (RECIPE | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(content))
    return path


def run(recipe: Path, data: Path, folder: Path, **options: Any) -> dict[str, ExpertCard]:
    """Train; cards by tag."""
    options = {"output": folder / "zoo", "runs": folder / "runs", "trainer": {"logger": False}} | options
    return {card.tag: card for card in pretrain(recipe, data=data, **options)}
