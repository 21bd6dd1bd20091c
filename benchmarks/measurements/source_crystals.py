"""Crystals of the Materials Project of one size, on which embedding is timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Structure

from moe_mat.crystals import as_structure, structure_key
from moe_mat.files import data_folder

SOURCE = "pretrain/materials_project.parquet"


class SourceCrystals:
    """The crystals of `SOURCE` by their number of atoms.

    Args:
        data: Folder of prepared data; by default ``MOE_MAT_DATA``.
    """

    def __init__(self, data: Path | None) -> None:
        self._table = pq.read_table((data or data_folder()) / SOURCE)
        self._sizes = pc.list_value_length(self._table["species_at_sites"]).to_numpy()

    def of_size(self, n_atoms: int, n_crystals: int) -> dict[bytes, Structure]:
        """Crystals by key, drawn once and for all, read anew so that nothing is known of them."""
        rows = np.random.default_rng(0).permutation(np.flatnonzero(self._sizes == n_atoms))[:n_crystals]
        return {structure_key(one): one for one in map(as_structure, self._table.take(rows).to_pylist())}
