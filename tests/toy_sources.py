"""A source of a few crystals, and experts that were trained on some of them: what an audit looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from toy_experts import cgcnn_expert, network_expert

from moe_mat.crystals.training_crystals import PARTS, TrainingCrystals
from moe_mat.zoo.cards import ExpertCard, write_card

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)
SOURCE = {"salt": SALT, "rutile": RUTILE}


def write_source(folder: Path) -> Path:
    """A source in ``folder/sources``, and in ``folder/zoo`` the training crystals of experts that learned from it."""
    write_crystals(folder / "sources" / "toy.parquet", SOURCE)
    write_training_crystals(folder / "zoo" / "toy.training_crystals.npz", SOURCE)
    return folder


def write_crystals(path: Path, crystals: dict[str, Structure], **columns: Any) -> Path:
    """Crystals by name as prepared data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        {
            "material_id": list(crystals),
            "lattice_vectors": [one.lattice.matrix.tolist() for one in crystals.values()],
            "cartesian_site_positions": [one.cart_coords.tolist() for one in crystals.values()],
            "species_at_sites": [[site.specie.symbol for site in one] for one in crystals.values()],
            **columns,
        }
    )
    frame.to_parquet(path)
    return path


def write_training_crystals(
    path: Path,
    crystals: dict[str, Structure],
    *,
    parts: dict[str, str] | None = None,
    values: dict[str, list[float]] | None = None,
) -> Path:
    """Training crystals: all of them for training, and all with a band gap, unless it is said otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = [PARTS.index((parts or {}).get(name, "train")) for name in crystals]
    known = {name: np.array(given) for name, given in (values or {"band_gap_pbe": [1.0] * len(crystals)}).items()}
    found = TrainingCrystals.of(list(crystals), list(crystals.values()), parts=numbers, values=known)
    TrainingCrystals.join([found]).save(path)
    return path


def trained_expert(
    folder: Path,
    tag: str,
    *,
    target: str = "band_gap_pbe",
    max_atoms: int | None = None,
    trunk: ExpertCard | None = None,
    **fields: Any,
) -> ExpertCard:
    """A CGCNN, or a network on a trunk, of random weights whose card says that it was trained on the toy source."""
    trained = {
        "target": target,
        "source": {"dataset": "toy source", "file": "toy.parquet", "max_atoms": max_atoms},
        "training_crystals": "toy.training_crystals.npz",
    }
    plain = cgcnn_expert(folder, tag) if trunk is None else network_expert(folder, tag, trunk=[trunk], sizes=[8])
    card = replace(plain, **(trained | fields))
    write_card(card)
    return card
