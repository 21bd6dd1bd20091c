"""Import of a table of vectors that another environment computed: an expert for the crystals in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from moe_mat.crystals.errors import LeftOut, OnError
from moe_mat.crystals.readers import open_table
from moe_mat.encoders.table import LAYER
from moe_mat.zoo.card_files import tag_of_file
from moe_mat.zoo.card_parts import Readout
from moe_mat.zoo.cards import EncoderCard, validate_card, write_card
from moe_mat.zoo.experts import build_expert
from moe_mat.zoo.table_crystals import NamedRows, Refusals, TableCrystals
from moe_mat.zoo.vector_tables import VectorTable
from moe_mat.zoo.weights import write_weights


@dataclass(frozen=True, slots=True)
class ImportedTable:
    """An expert that was made of a table.

    Attributes:
        card: Of the expert.
        left_out: Crystals and vectors that cannot be used.
        without_crystal: Names of vectors that are not among the crystals.
        without_vector: Names of crystals that are not in the table.
    """

    card: EncoderCard
    left_out: list[LeftOut]
    without_crystal: list[str]
    without_vector: list[str]


def import_table(
    path: str | Path,
    *,
    folder: str | Path,
    structures: str | Path | None = None,
    id_column: str | None = None,
    vector_column: str | None = None,
    tag: str | None = None,
    source: str | None = None,
    license: str = "not stated",
    citation: str = "not stated",
    on_error: OnError = "raise",
) -> ImportedTable:
    """Make an expert of vectors: a card and a safetensors file.

    The crystals give each vector a structure, once. From then on it is found by the structure alone, whatever file that
    comes from and however the cell is written.

    Args:
        path: Parquet or CSV file, see `VectorTable.open`.
        folder: Where the card and the vectors go.
        structures: The crystals by the same names, in any readable format; by default those in the table itself.
        id_column: Column of the names.
        vector_column: A column of lists, or a pattern for columns of numbers.
        tag: Name of the expert; by default that of the file.
        source: What the vectors were learned from, for the leakage audit.
        license: Licence of the vectors.
        citation: What to cite.
        on_error: "raise" stops at the first crystal or vector that cannot be used, "skip" leaves it out.

    Raises:
        CrystalError: When a crystal or a vector cannot be used, or one crystal has two vectors; names it.
        ValueError: When the file has no such columns or no crystals, or the tag is not one; nothing is written then.
    """
    path, tag = Path(path), tag or tag_of_file(Path(path))
    table = VectorTable.open(path, id_column=id_column, vector_column=vector_column)
    card = EncoderCard(
        tag=tag,
        title=f"Vectors imported from {path.name}, {', '.join(table.vector_columns[:3])}",
        encoder="table",
        settings={"width": table.width, "n_crystals": 0},
        readout=Readout((LAYER,)),
        dim=table.width,
        source=source,
        license=license,
        citation=citation,
        path=Path(folder) / f"{tag}.yaml",
    )
    validate_card(card)
    crystals = _with_crystals(path) if structures is None else Path(structures)
    refusals = Refusals(on_error)
    rows = NamedRows(table, refusals)
    found = TableCrystals.read(crystals, rows, refusals)
    vectors, usable = found.vectors(refusals)
    usable = found.distinct(vectors, usable, refusals)
    if not usable.any():
        raise ValueError(f"{path}: no vector can be used; the first: {refusals.left_out[0]}")
    card = _written(card, found, vectors, usable)
    return ImportedTable(card, refusals.left_out, sorted(rows.of_name.keys() - set(found.names)), rows.others)


def _with_crystals(path: Path) -> Path:
    """A table that has crystals of its own."""
    try:
        open_table(path)
    except ValueError as error:
        raise ValueError(f"{error}; if the crystals are elsewhere, name their file by --structures") from error
    return path


def _written(
    card: EncoderCard, found: TableCrystals, vectors: NDArray[np.floating], usable: NDArray[np.bool_]
) -> EncoderCard:
    """Write card and vectors ``[n, width]``, those that can be used ``[n]``."""
    arrays: list[NDArray[Any]] = [found.formulas, found.fingerprints, vectors]
    kept = [torch.from_numpy(values if usable.all() else values[usable]) for values in arrays]
    tensors = dict(zip(("formulas", "fingerprints", "vectors"), kept, strict=True))
    weights = write_weights(tensors, card.path.with_name(f"{card.tag}.safetensors"))
    card = replace(card, settings={"width": card.dim, "n_crystals": int(usable.sum())}, weights=weights)
    write_card(card)
    build_expert(card)  # what was written can be loaded
    return card
