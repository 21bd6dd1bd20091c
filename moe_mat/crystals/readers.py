"""Reading crystals and their targets from files.

One road for every format: ``open_table`` finds the rows, and each row is checked for its id, its targets and its
crystal before it is handed on. Parquet, CSV, lines of JSON, extended XYZ, databases of ASE and
folders are streamed, whatever their size.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from ase import Atoms
from pymatgen.core import Structure

from moe_mat.crystals.ase_tables import ase_table, is_sqlite
from moe_mat.crystals.dataframe_tables import dataframe_table, objects_table
from moe_mat.crystals.errors import LeftOut, OnError
from moe_mat.crystals.file_tables import csv_table, file_row, folder_table
from moe_mat.crystals.formula_tables import lone_formula, parquet_formulas
from moe_mat.crystals.formulas import Formula, as_formula
from moe_mat.crystals.frame_tables import frames_table
from moe_mat.crystals.ids import as_id, find_id_column, id_of
from moe_mat.crystals.json_tables import is_json, json_table
from moe_mat.crystals.optimade import OPTIMADE_COLUMNS
from moe_mat.crystals.parquet_tables import is_parquet, parquet_table
from moe_mat.crystals.structure_files import KNOWN_NAMES, is_web_page, structure_format
from moe_mat.crystals.structures import Crystal, CrystalFilter
from moe_mat.crystals.tables import Table, UnreadableError, Wanted, in_order
from moe_mat.crystals.target_kinds import TargetKind
from moe_mat.crystals.target_values import NO_VALUE, as_class, as_number, kind_of

logger = logging.getLogger(__name__)

Objects = Structure | Atoms | Mapping[str, Any] | Sequence[Structure] | Sequence[Atoms] | Sequence[Mapping[str, Any]]
Source = str | os.PathLike[str] | pd.DataFrame | Objects


def read_structures(
    path: Source,
    *,
    targets: Sequence[str] = (),
    kind: TargetKind = "number",
    id_column: str | None = None,
    structure_column: str | None = None,
    on_error: OnError = "raise",
) -> tuple[list[Structure], pd.DataFrame]:
    """Read crystals and the table that belongs to them.

    Args:
        path: As for ``iter_crystals``.
        targets: As for ``iter_crystals``.
        kind: As for ``iter_crystals``; classes come as text.
        id_column: As for ``iter_crystals``.
        structure_column: As for ``iter_crystals``.
        on_error: "raise" stops at the first bad crystal, "skip" leaves it out.

    Returns:
        The structures, and a table with one row for each of them: ``material_id`` first, then every other column of the
        file. ``table.attrs["left_out"]`` lists what was left out as dicts of source, material_id, column and reason.
        (If the ids come from another column, the file's own ``material_id`` becomes ``material_id_in_file``.)

    Raises:
        CrystalError: A crystal or its targets cannot be used; the message names file, id, column and reason.
        FileNotFoundError: No such path.
        ValueError: Unknown column, unknown type of file, or a file that cannot be read at all.
    """
    left_out: list[LeftOut] = []
    structures, ids, records = [], [], []
    for crystal in iter_crystals(
        path,
        targets=targets,
        kind=kind,
        id_column=id_column,
        structure_column=structure_column,
        on_error=on_error,
        left_out=left_out,
    ):
        structures.append(crystal.structure)
        records.append(crystal.values)
        ids.append(crystal.material_id)
    table = pd.DataFrame.from_records(records, index=pd.RangeIndex(len(ids)) if ids else None)
    if "material_id" in table and table["material_id"].map(as_id).tolist() != ids:
        table = table.rename(columns={"material_id": "material_id_in_file"})
    columns = [name for name in table.columns if name != "material_id"]
    table = table.assign(material_id=ids)[["material_id", *columns]]
    if isinstance(path, (str, os.PathLike)) and (Path(path).is_dir() or ".csv" in Path(path).suffixes):
        texts = [name for name in columns if kind == "number" or name not in targets]
        table[texts] = table[texts].apply(_as_numbers)  # a CSV knows only text
    table.attrs["left_out"] = [asdict(problem) for problem in left_out]
    return structures, table


def iter_crystals(
    path: Source,
    *,
    targets: Sequence[str] = (),
    kind: TargetKind = "number",
    id_column: str | None = None,
    structure_column: str | None = None,
    on_error: OnError = "raise",
    left_out: list[LeftOut] | None = None,
    only: Container[str] | None = None,
    columns: Sequence[str] | None = None,
    formulas: bool = False,
) -> Iterator[Crystal]:
    """Read crystals one after the other.

    Understood are Parquet with the OPTIMADE columns; a folder of CIF, POSCAR and other structure files, optionally with
    one CSV that names them by file name or stem; such a CSV; JSON as matminer, pandas and monty write it, documents of
    the Materials Project and answers of OPTIMADE, also as lines or a folder of pages; databases of ASE; extended XYZ,
    whose comment lines give the columns; a single structure file; and a DataFrame with a column of structures. A folder
    without structure files may hold Parquet, which is read as one table in the order of the files' names.

    CSV, Parquet, JSON and DataFrames without structures may have a column of formulas, called ``formula``,
    ``composition`` or alike: crystals are each a `Formula` then, which experts of compositions embed.

    Args:
        path: File, folder or DataFrame; crystals, one or several, such as structures and documents as dicts; or one
            formula, where there is no file of this name.
        targets: Columns that must hold numbers, or classes. A crystal that has none of them cannot be used; one that
            has some gets NaN for the others.
        kind: What the targets are: ``number``, ``class``, or ``auto`` for classes where a column holds text or booleans
            and no number.
        id_column: Column of the ids. Where None: one of ``ids.ID_COLUMNS``, else the file stem, else the row number.
        structure_column: Column of the structures (JSON, DataFrame) or of their file names (CSV), or of formulas. Where
            None it is found by its content, that of formulas by its name.
        on_error: "raise" stops at the first bad crystal, "skip" leaves it out.
        left_out: Receives what "skip" leaves out.
        only: Ids of the crystals that are wanted. Those of the others are not built, which is many times faster.
        columns: Columns whose values are wanted, beside targets and ids; None for all. More may come.
        formulas: Whether compositions alone are wanted, each a `Formula`. Of Parquet no structure is built then, nor
            checked, which is many times faster.

    Raises:
        CrystalError: A crystal or its targets cannot be used; the message names file, id, column and reason.
        FileNotFoundError: No such path.
        ValueError: Unknown column, unknown type of file, or a file that cannot be read at all.
    """
    targets = [targets] if isinstance(targets, str) else list(targets)
    table = open_table(path, structure_column=structure_column)
    for column in [*targets, *([] if id_column is None else [id_column])]:
        if column not in table.columns:
            raise ValueError(unknown_column(table, column))
    id_column = id_column or find_id_column(table)
    if columns is not None:
        columns = tuple(dict.fromkeys([*columns, *targets, *([] if id_column is None else [id_column])]))
    crystal_filter = CrystalFilter(table.source, on_error=on_error, left_out=left_out)
    kinds = {target: kind_of(table, target) if kind == "auto" else kind for target in targets}
    found = _checked(table, Wanted(columns=columns, formulas=formulas), kinds, id_column, crystal_filter, only)
    return _to_the_end(found, crystal_filter)


def crystals_of_rows(
    table: Table,
    rows: range,
    *,
    id_column: str | None,
    taken: Container[str] = (),
    on_error: OnError = "raise",
    left_out: list[LeftOut] | None = None,
) -> Iterator[Crystal]:
    """Read the crystals of some rows of a table.

    Args:
        table: As ``open_table`` gives it.
        rows: Their numbers, one after the other.
        id_column: Column of the ids; None where rows are called by their files or numbers.
        taken: Ids that crystals of other rows have.
        on_error: "raise" stops at the first bad crystal, "skip" leaves it out.
        left_out: Receives what "skip" leaves out.
    """
    columns = () if id_column is None else (id_column,)
    crystal_filter = CrystalFilter(table.source, on_error=on_error, left_out=left_out, taken=taken)
    return _checked(table, Wanted(rows.start, rows.stop, columns), {}, id_column, crystal_filter, None)


def open_table(path: Source, *, structure_column: str | None = None) -> Table:
    """Rows of a file, folder or DataFrame, not yet checked.

    Raises:
        FileNotFoundError: No such path.
        ValueError: Unknown type of file, or one that cannot be read at all.
    """
    if isinstance(path, pd.DataFrame):
        return dataframe_table("DataFrame", path, structure_column)
    if not isinstance(path, (str, os.PathLike)):
        return objects_table(path, structure_column)
    path = Path(path)
    if path.is_dir():
        return folder_table(path, structure_column)
    if not path.exists():
        if (formula := lone_formula(str(path))) is not None:
            return formula
        raise FileNotFoundError(f"there is no file or folder {path}")
    if is_web_page(path):
        raise UnreadableError(f"{path} is a web page (HTML): the download failed, fetch the file again")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix == ".csv":
        return csv_table(path, structure_column)
    if is_json(path):
        return json_table(path, structure_column)
    if structure_column is not None:
        raise ValueError(f"structure_column does not apply to {path}: only CSV, JSON and DataFrames have one")
    if is_parquet(path):
        return parquet_formulas(path, OPTIMADE_COLUMNS) or parquet_table(path, [path])
    if is_sqlite(path):
        return ase_table(path)
    if suffix in (".xyz", ".extxyz"):
        return frames_table(path)
    if structure_format(path) is not None:
        return Table(str(path), [], in_order(lambda: iter([file_row(path, {})])))
    raise ValueError(
        f"{path}: unknown type of file; known are *.parquet, *.csv, *.jsonl, *.db, folders of files, {KNOWN_NAMES}"
    )


def _to_the_end(crystals: Iterator[Crystal], crystal_filter: CrystalFilter) -> Iterator[Crystal]:
    yield from crystals
    crystal_filter.close()


def _checked(
    table: Table,
    wanted: Wanted,
    targets: Mapping[str, TargetKind],
    id_column: str | None,
    crystal_filter: CrystalFilter,
    only: Container[str] | None,
) -> Iterator[Crystal]:
    spoiled: Counter[str] = Counter()
    for row in table.rows(wanted):
        material_id = id_of(row, id_column)
        if only is not None and material_id not in only:
            continue
        if material_id is None:
            crystal_filter.refuse(
                row.source, None, id_column, "the id is missing: fill it in, or choose another id_column"
            )
            continue
        if row.problem is not None:
            crystal_filter.refuse(row.source, material_id, None, row.problem)
            continue
        values: dict[str, float | str | None] = {}
        reasons = {}
        for target, kind in targets.items():
            values[target], reason = (as_class if kind == "class" else as_number)(row.values.get(target))
            if reason is not None:
                reasons[target] = reason
        if targets and len(reasons) == len(targets):
            column, reason = ", ".join(reasons), "; ".join(dict.fromkeys(reasons.values()))
            needed = "a class" if "class" in targets.values() else "a finite number"
            crystal_filter.refuse(row.source, material_id, column, f"{reason}: {needed} is needed")
            continue
        load = partial(_composition_of, row.load) if wanted.formulas else row.load
        crystal = crystal_filter.accept(row.source, material_id, row.values | values, load)
        if crystal is not None:
            spoiled.update(target for target, reason in reasons.items() if reason != NO_VALUE)
            yield crystal
    for target, count in spoiled.items():
        logger.warning(
            "%s: column %r: %d values are no finite numbers and count as missing", table.source, target, count
        )


def _composition_of(load: Callable[[], Structure]) -> Structure:
    structure = load()
    return structure if isinstance(structure, Formula) else as_formula(structure.composition)


def _as_numbers(column: pd.Series) -> pd.Series:
    """A column of text as numbers, if it holds nothing else."""
    try:
        return pd.to_numeric(column) if column.dtype == object else column
    except (TypeError, ValueError):
        return column


def unknown_column(table: Table, column: str) -> str:
    """What is wrong with a column that a table does not have."""
    names = sorted(table.columns)
    close = difflib.get_close_matches(column, names)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{table.source} has no column {column!r}: {guess}Its columns are {', '.join(names) or 'none'}."
