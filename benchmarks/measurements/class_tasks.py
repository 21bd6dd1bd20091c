"""Tasks of classification: which crystals, what they are classified by, and how they are split.

Splits are those of the published task where the column has them; else no formula is in two parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from moe_mat.experts import DESCRIPTORS
from numpy.typing import NDArray
from pymatgen.core import Structure

from moe_mat import formula_groups, read_structures
from moe_mat.crystals import Split, group_split

N_SPLITS = 5
# Crystals of a large source, by a seeded draw.
MAX_ROWS = 2000
FRACTIONS = (0.7, 0.1, 0.2)

# Networks that have seen no formula of the benchmark, potentials and descriptors.
STRICT = (
    "chgnet",
    "chgnet_conv?",
    "sevennet_mf0",
    "sevennet_mf0_tensors_*",
    *DESCRIPTORS,
    "strict_*",
    "layer_stack",
)
# For crystals that the networks have learned from: a potential that knows energies and forces, and descriptors.
UNLABELLED = (
    "sevennet_mf0",
    "sevennet_mf0_tensors_*",
    "magpie",
    "structure_features",
    "local_environment",
    "symmetry",
    "packing",
)


@dataclass(frozen=True)
class ClassTask:
    """A task.

    Attributes:
        name: For files.
        title: For tables.
        file: Of prepared data, below the data folder.
        column: What classes are made of.
        classes: Their names, in order.
        edges: Values at which the next class begins; a value on an edge is of the class before it.
        experts: Tags of those that have not learned what is classified from these crystals.
    """

    name: str
    title: str
    file: str
    column: str
    classes: tuple[str, ...]
    edges: tuple[float, ...]
    experts: tuple[str, ...]

    def read(self, data: Path) -> ClassData:
        """The crystals and their classes.

        Args:
            data: The folder of prepared data.
        """
        table = pd.read_parquet(data / self.file)
        table, published = table[table[self.column].notna()], data / "splits" / f"{self.column}.json"
        if not published.exists() and len(table) > MAX_ROWS:
            table = table.iloc[np.sort(np.random.default_rng(0).permutation(len(table))[:MAX_ROWS])]
        with TemporaryDirectory() as folder:
            path = Path(folder) / "crystals.parquet"
            table.to_parquet(path)
            structures, read = read_structures(path, targets=[self.column])
        splits = _published(published, read) if published.exists() else _by_formula(structures)
        return ClassData(structures, np.digitize(read[self.column], self.edges, right=True), list(splits))


@dataclass(frozen=True)
class ClassData:
    """Crystals of a task.

    Attributes:
        structures: ``[n]``.
        labels: Numbers of their classes ``[n]``.
        splits: Of the rows.
    """

    structures: list[Structure]
    labels: NDArray[np.integer]
    splits: list[Split]

    def part(self, rows: NDArray[np.integer]) -> tuple[list[Structure], NDArray[np.integer]]:
        """Crystals and classes of some rows."""
        return [self.structures[row] for row in rows], self.labels[rows]


def _published(path: Path, table: pd.DataFrame) -> Iterator[Split]:
    content = json.loads(path.read_text(encoding="utf-8"))
    position = {row: at for at, row in enumerate(table["row"].tolist())}
    for number in range(N_SPLITS):
        parts = content[str(number)]
        yield Split(*(np.array([position[row] for row in parts[part]]) for part in ("train", "val", "test")))


def _by_formula(structures: list[Structure]) -> Iterator[Split]:
    groups: list[str] = formula_groups(structures).tolist()
    for seed in range(N_SPLITS):
        yield group_split(groups, fractions=FRACTIONS, seed=seed)


JARVIS = "pretrain/jarvis_dft_3d.parquet"
EXPT, WEAKLY_BOUND = "benchmark/expt_bandgap.parquet", "benchmark/jarvis_2d_exfoliation.parquet"
_GAP, _EXPT, _EXFOLIATION = "band_gap_optb88vdw", "expt_bandgap", "jarvis_2d_exfoliation"
TASKS = (
    ClassTask("expt_metal", "Metal or not, measured", EXPT, _EXPT, ("metal", "gap"), (0.0,), STRICT),
    ClassTask("jarvis_metal", "Metal or not, JARVIS", JARVIS, _GAP, ("metal", "gap"), (0.0,), UNLABELLED),
    ClassTask(
        "jarvis_magnetic",
        "Magnetic or not (0.5 µB a cell), JARVIS",
        JARVIS,
        "magnetic_moment",
        ("not magnetic", "magnetic"),
        (0.5,),
        UNLABELLED,
    ),
    ClassTask(
        "jarvis_2d_weakly_bound",
        "Layers bound by less than 80 meV/atom, JARVIS",
        WEAKLY_BOUND,
        _EXFOLIATION,
        ("weakly bound", "strongly bound"),
        (80.0,),
        STRICT,
    ),
    ClassTask(
        "jarvis_conduction",
        "Metal, semiconductor or insulator (3 eV), JARVIS",
        JARVIS,
        _GAP,
        ("metal", "semiconductor", "insulator"),
        (0.0, 3.0),
        UNLABELLED,
    ),
)
