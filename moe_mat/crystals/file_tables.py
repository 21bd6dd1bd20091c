"""Tables whose crystals lie in files of their own: a CSV that names them, or a folder, with or without a CSV in it.

A folder may also be of Parquet files, which are one table then.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from moe_mat.crystals.formula_tables import formula_column, formula_row, is_formula
from moe_mat.crystals.json_tables import is_json, pages_of_folder, pages_table
from moe_mat.crystals.parquet_tables import is_parquet, parquet_table
from moe_mat.crystals.structure_files import KNOWN_NAMES, read_structure_file, structure_format, structure_stem
from moe_mat.crystals.tables import Row, Table, UnreadableError, in_order
from moe_mat.files.compressed import open_text

logger = logging.getLogger(__name__)

_PROBE_LINES = 50
_RAGGED = "the line has more or fewer cells than the first line names columns"
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def file_row(path: Path, values: Mapping[str, Any]) -> Row:
    """The row of a structure file."""
    return Row(str(path), structure_stem(path), dict(values), partial(read_structure_file, path))


def csv_table(path: Path, structure_column: str | None, *, with_unnamed: bool = False) -> Table:
    """Rows of a CSV whose cells name structure files, relative to the CSV or by their stem, or are formulas.

    Args:
        path: The CSV.
        structure_column: The column of file names or formulas; where None, found by its content, or by its name.
        with_unnamed: Whether the files beside the CSV that it does not name follow, without values.
    """
    folder = _Folder(path.parent)
    columns = _csv_header(path)
    if structure_column not in (None, *columns):
        raise ValueError(f"{path} has no column {structure_column!r}: its columns are {', '.join(columns)}")
    probed = [record for _, record in islice(_csv_records(path), _PROBE_LINES)]
    column, formulas = structure_column or _file_column(probed, columns, folder), False
    if column is None and not with_unnamed and not _names_files(probed):
        column, formulas = formula_column(columns), True
    if column is None:
        raise ValueError(
            f"no column of {path} names structure files in {folder.path}, and none is called formula: add one, or pass "
            f"structure_column; its columns are {', '.join(columns)} (the first line must name them)"
        )
    if column == structure_column and not with_unnamed:
        cells = [record.get(column) for record in probed]
        formulas = any(map(is_formula, cells)) and not any(folder.find(cell or "") for cell in cells)
    if formulas:
        return Table(str(path), columns, in_order(lambda: _formula_rows(path, column)), has_structures=False)
    return Table(str(path), columns, in_order(lambda: _csv_rows(path, column, folder, with_unnamed)))


def _file_column(records: Sequence[Mapping[Any, Any]], columns: list[str], folder: _Folder) -> str | None:
    """The column most of whose values name files."""
    found = dict.fromkeys(columns, 0)
    for record in records:
        for column in columns:
            found[column] += bool(record.get(column)) and folder.find(record[column]) is not None
    best = max(columns, key=found.__getitem__)
    return best if found[best] else None


def _names_files(records: Sequence[Mapping[Any, Any]]) -> bool:
    """Whether there are names of structure files, be the files there or not."""
    cells = (cell for record in records for cell in record.values() if isinstance(cell, str))
    return any(structure_format(Path(cell)) is not None for cell in cells)


class _Folder:
    """The structure files of a folder, found by name or stem."""

    def __init__(self, path: Path) -> None:
        self.path = path
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        self.files = [file for file in files if structure_format(file) is not None] or list(filter(is_json, files))
        self.tables = [file for file in files if file.suffix.lower() == ".csv"]
        self.others = [file.name for file in files if file not in {*self.files, *self.tables}]
        self._by_name: dict[str, Path | None] = {}
        for file in self.files:
            stem = structure_stem(file)
            self._by_name[stem] = None if stem in self._by_name else file  # two files of one stem: name them in full
        self._by_name |= {file.name: file for file in self.files}

    def find(self, name: str) -> Path | None:
        if (file := self._by_name.get(name)) is not None:
            return file
        path = self.path / name
        try:
            return path if structure_format(path) is not None and path.is_file() else None
        except OSError:  # a name that is too long for one
            return None

    def read(self, name: str | None) -> Structure:
        if not name:
            raise ValueError(
                "no structure file is named: crystals with and without structures are not mixed; leave this row out "
                "(on_error: skip), or pass the column of formulas as structure_column, and no structure is read"
            )
        if (file := self.find(name)) is None:
            raise ValueError(f"there is no structure file {name!r} in {self.path}, or there are several of this stem")
        try:
            return read_structure_file(file)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error


def _csv_header(path: Path) -> list[str]:
    try:
        with open_text(path, encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream), [])
    except (ValueError, csv.Error, OSError) as error:
        raise UnreadableError(f"{path} is not a CSV file in UTF-8 ({error})") from error
    if not header:
        raise UnreadableError(f"{path} is empty: its first line must name the columns")
    separator = max(_SEPARATORS, key=header[0].count)
    if len(header) == 1 and separator in header[0]:
        raise UnreadableError(
            f"{path} separates its columns by {_SEPARATORS[separator]}: save it with commas, and points in numbers"
        )
    if len(set(header)) < len(header):
        raise UnreadableError(f"{path} names a column twice: {', '.join(header)}")
    return header


def _csv_records(path: Path) -> Iterator[tuple[int, dict[Any, Any]]]:
    line = 1
    try:
        with open_text(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            for record in reader:
                line = reader.line_num
                yield line, record
    except (ValueError, csv.Error, OSError) as error:
        raise UnreadableError(f"{path} is damaged after line {line} ({error})") from error


def _formula_rows(path: Path, column: str) -> Iterator[Row]:
    for number, (line, record) in enumerate(_csv_records(path)):
        values = {name: value or None for name, value in record.items() if name is not None}
        yield formula_row(f"{path}, line {line}", str(number), values, column, _RAGGED if _is_ragged(record) else None)


def _is_ragged(record: Mapping[Any, Any]) -> bool:
    return None in record or None in record.values()


def _csv_rows(path: Path, column: str, folder: _Folder, with_unnamed: bool) -> Iterator[Row]:
    named: set[Path | None] = set()
    for line, record in _csv_records(path):
        values = {name: value or None for name, value in record.items() if name is not None}
        name = values[column]
        if with_unnamed and name:
            named.add(folder.find(name))
        yield Row(
            f"{path}, line {line}",
            structure_stem(Path(name)) if name else f"line {line}",
            values,
            partial(folder.read, name),
            _RAGGED if _is_ragged(record) else None,
        )
    if with_unnamed:
        yield from (file_row(file, {}) for file in folder.files if file not in named)


def parquet_of_folder(path: Path) -> list[Path]:
    """The Parquet files of a folder that has no structure files, in the order of their names."""
    folder = _Folder(path)
    return [] if folder.files else [path / name for name in folder.others if is_parquet(path / name)]


def folder_table(path: Path, structure_column: str | None) -> Table:
    """The structure files of a folder in the order of their names; its CSV, if there is one, gives the values.

    Where there are none, its Parquet files.
    """
    folder = _Folder(path)
    if not folder.files:
        if parquet := parquet_of_folder(path):
            return parquet_table(path, parquet)
        raise ValueError(f"{path} holds no structure files and no Parquet: known are {KNOWN_NAMES}")
    if len(folder.tables) > 1:
        names = ", ".join(file.name for file in folder.tables)
        raise ValueError(f"{path} holds several CSV files ({names}): pass the path of the one that is meant")
    if folder.others:
        logger.warning("%s: not read, of unknown type: %s", path, ", ".join(folder.others))
    if not folder.tables:
        if pages_of_folder(folder.files):
            return pages_table(path, folder.files, structure_column)
        return Table(str(path), [], in_order(lambda: (file_row(file, {}) for file in folder.files)))
    table = csv_table(folder.tables[0], structure_column, with_unnamed=True)
    return Table(str(path), table.columns, table.read)
