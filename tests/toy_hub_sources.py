"""Two sources of made-up binaries and the recipe of a hub of their modules, which is trained in seconds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from ase.data import atomic_numbers

from moe_mat.pretrain.run import pretrain
from moe_mat.zoo.cards import ExpertCard

METALS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Zn", "Al", "Ti", "Fe", "Ni"]
OTHERS = ["O", "S", "F", "Cl", "N"]

SOURCES: dict[str, dict[str, Any]] = {
    "salts": {"targets": {"difference": {"unit": "e"}, "hardness": {"transform": "log"}}},
    "oxides": {"targets": {"gap": {"unit": "eV"}}},
}
HUB: dict[str, Any] = {
    "name": "toy",
    "sources": {"salts": {"targets": ["difference", "hardness"]}, "oxides": {"targets": ["gap"], "max_crystals": 40}},
    "backbone": {
        "encoder": {"width": 12, "n_convolutions": 2},
        "max_epochs": 6,
        "batch_size": 16,
        "learning_rate": 0.01,
    },
    "full": {"max_crystals": 50, "max_epochs": 3, "batch_size": 16, "learning_rate": 0.003},
    "adapter": {"bottleneck": 2, "max_epochs": 3, "batch_size": 16, "learning_rate": 0.01},
}


def write_sources(folder: Path) -> Path:
    """Binaries in the caesium chloride structure, some of which are those of a task."""
    rows = []
    for number, (metal, other, factor) in enumerate(itertools.product(METALS, OTHERS, (0.9, 1.1))):
        a = factor * (3.0 + 0.02 * (atomic_numbers[metal] + atomic_numbers[other]))
        rows.append(
            {
                "lattice_vectors": (np.eye(3) * a).tolist(),
                "cartesian_site_positions": [[0.0, 0.0, 0.0], [a / 2] * 3],
                "species_at_sites": [metal, other],
                "material_id": f"id-{number}",
                "difference": float(atomic_numbers[metal] - atomic_numbers[other]),
                "hardness": float(np.exp(atomic_numbers[other] / 10)),
                "gap": float(5 / a),
            }
        )
    table = pd.DataFrame(rows)
    salts = table.drop(columns="gap")
    salts.loc[salts.index % 3 == 0, "hardness"] = np.nan
    salts.to_parquet(folder / "salts.parquet")
    table.drop(columns=["difference", "hardness"]).to_parquet(folder / "oxides.parquet")
    (folder / "tasks").mkdir()
    table[:6].to_parquet(folder / "tasks" / "task.parquet")
    return folder


def write_hub_recipe(folder: Path, **changes: Any) -> Path:
    """The recipes of both sources, and that of the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in SOURCES.items():
        recipe = {"name": name, "dataset": f"Made-up {name}", "file": f"{name}.parquet", "license": f"{name} licence"}
        cgcnn = {"targets": list(entry["targets"])}
        text = yaml.safe_dump({**recipe, "citation": f"who made {name}", **entry, "cgcnn": cgcnn}, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text)
    (folder / "toy.yaml").write_text(yaml.safe_dump({**HUB, **changes}, sort_keys=False))
    return folder / "toy.yaml"


def train_hub(folder: Path, data: Path, *, only: Any = "*", recipe: Path | None = None) -> dict[str, ExpertCard]:
    """Train; cards by tag."""
    recipe = recipe or write_hub_recipe(folder)
    options = {"output": folder / "hub", "runs": folder / "runs", "trainer": {"logger": False}}
    return {card.tag: card for card in pretrain(recipe, data=data, only=only, **options)}
