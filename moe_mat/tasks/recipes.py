"""From a matminer data set to a benchmark task: which rows, which target, and what shows that they are right."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure

from moe_mat.crystals.checks import structure_problem
from moe_mat.crystals.datasets import fetch_matminer, read_matminer
from moe_mat.crystals.errors import LeftOut
from moe_mat.crystals.structures import as_structure
from moe_mat.files.documents import read_yaml
from moe_mat.files.whole import whole_file

logger = logging.getLogger(__name__)

LoadFrame = Callable[[str], pd.DataFrame]

TRANSFORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "none": (np.asarray, np.asarray),
    "ln": (np.log, np.exp),
    "ln(1+x)": (np.log1p, np.expm1),
}
"""Name -> (from the raw target to the task's target, back)."""

METADATA_KEY = b"moe_mat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Structures for a table of formulas.

    Attributes:
        dataset: matminer data set that has them.
        left: column of the table with the ids of the structures.
        right: column of `dataset` with the same ids.
    """

    dataset: str
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a task is made from a matminer data set.

    Attributes:
        dataset: matminer data set.
        target: columns whose mean is the target; usually one.
        transform: a key of `TRANSFORMS`, applied to the target.
        material_id: column of the ids; without one, ids are the data set's name and the row.
        positive: columns that must be above zero; a missing value is not.
        join: where the structures come from, if the data set has none.
        exact: whether this gives the rows of the task's evidence, or other ones (a newer or older source).
    """

    dataset: str
    target: tuple[str, ...]
    transform: str = "none"
    material_id: str | None = None
    positive: tuple[str, ...] = ()
    join: Join | None = None
    exact: bool = True

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """A recipe from a task card.

        Raises:
            ValueError: a key or transform that is not known.
        """
        if unknown := set(content) - {field.name for field in fields(cls)}:
            raise ValueError(f"A recipe has no {', '.join(sorted(unknown))}; it has {[f.name for f in fields(cls)]}")
        if content.get("transform", "none") not in TRANSFORMS:
            raise ValueError(f"There is no transform {content['transform']!r}, only {', '.join(TRANSFORMS)}")
        join = content.get("join")
        return cls(
            **{
                **content,
                "target": tuple(content["target"]),
                "positive": tuple(content.get("positive", ())),
                "join": Join(**join) if join else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that a table is the task it says it is.

    Attributes:
        n_rows: number of crystals.
        mean: mean of the target, after the task's transform.
        std: standard deviation of the target (divided by n), after the transform.
    """

    n_rows: int
    mean: float
    std: float

    @classmethod
    def of(cls, target: Sequence[float] | np.ndarray | pd.Series) -> Self:
        """The evidence in a table."""
        values = np.asarray(target, dtype=float)
        return cls(len(values), float(values.mean()), float(values.std()))

    def contradiction(self, other: Self) -> str | None:
        """What differs in `other`, as a sentence; None if it is the same data to six digits."""
        if self.n_rows != other.n_rows:
            return f"{other.n_rows} rows where the card says {self.n_rows}"
        for name in ("mean", "std"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if not np.isclose(theirs, mine, rtol=1e-6, atol=1e-9):
                return f"a target {name} of {theirs:.8g} where the card says {mine:.8g}"
        return None


def build(recipe: Recipe, name: str, *, load: LoadFrame) -> pd.DataFrame:
    """Make a task's table.

    Args:
        recipe: what to do.
        name: the task, and the name of its target column.
        load: matminer data set name -> its DataFrame; structures may be their dicts.

    Returns:
        Columns row (0, 1, ... in the data set's order), material_id, structure and `name`;
        ``table.attrs["left_out"]`` lists the rows that are not in it, each with the reason.

    Raises:
        ValueError: the data set lacks a column, or no row remains.
    """
    source = load(recipe.dataset)
    needed = [*recipe.target, *recipe.positive, *([recipe.material_id] if recipe.material_id else [])]
    _need(source, recipe.dataset, [*needed, recipe.join.left if recipe.join else "structure"])
    structures = source["structure"] if recipe.join is None else _joined(source, recipe.join, load)
    ids = source[recipe.material_id] if recipe.material_id else [f"{recipe.dataset}-{i}" for i in range(len(source))]
    values = source[list(recipe.target)].apply(pd.to_numeric, errors="coerce").mean(axis=1, skipna=False)
    positive = source[list(recipe.positive)].apply(pd.to_numeric, errors="coerce")

    rows: list[tuple[str, Structure, float]] = []
    left_out: list[dict[str, Any]] = []
    for number, (material_id, structure, value) in enumerate(zip(ids, structures, values, strict=True)):
        problem: tuple[str, str] | None = None
        if isinstance(structure, Mapping):
            structure = as_structure(structure)
        if not np.isfinite(value):
            problem = (" / ".join(recipe.target), "no value")
        elif not (positive.iloc[number] > 0).all():
            column = positive.columns[~(positive.iloc[number] > 0)][0]
            problem = (column, f"{positive.iloc[number][column]} is not above zero")
        elif not isinstance(structure, Structure):
            problem = ("structure", "no structure")
        elif reason := structure_problem(structure):
            problem = ("structure", reason)
        if problem is None:
            rows.append((str(material_id), structure, value))
        else:
            left_out.append(asdict(LeftOut(f"{recipe.dataset}, row {number}", str(material_id), *problem)))
    if not rows:
        raise ValueError(
            f"Task {name}: no row of {recipe.dataset} remains; the first is missing because of {left_out[:1]}"
        )
    if left_out:
        logger.info("Task %s: %d of %d rows of %s left out", name, len(left_out), len(source), recipe.dataset)

    table = pd.DataFrame(rows, columns=["material_id", "structure", name])
    table.insert(0, "row", range(len(table)))
    forward, _ = TRANSFORMS[recipe.transform]
    table[name] = forward(table[name].to_numpy(dtype=float))
    table.attrs["left_out"] = left_out
    return table


def write_prepared(table: pd.DataFrame, path: Path, *, origin: Mapping[str, Any]) -> None:
    """Write a table with structures as Parquet with OPTIMADE's structure columns, whole or not at all.

    Args:
        table: a column ``structure`` and any plain ones.
        path: the file.
        origin: where the table comes from; `read_origin` gives it back.
    """
    structures: Sequence[Structure] = list(table["structure"])
    columns = {name: pa.array(table[name].to_numpy()) for name in table.columns if name != "structure"}
    vectors = pa.list_(pa.list_(pa.float64()))
    columns["lattice_vectors"] = pa.array([s.lattice.matrix.tolist() for s in structures], vectors)
    columns["cartesian_site_positions"] = pa.array([s.cart_coords.tolist() for s in structures], vectors)
    columns["species_at_sites"] = pa.array(
        [[site.specie.symbol for site in s] for s in structures], pa.list_(pa.string())
    )
    content = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(dict(origin))})
    with whole_file(path) as part:
        pq.write_table(content, part)


def read_origin(path: Path) -> dict[str, Any] | None:
    """What `write_prepared` noted about a file; None for files that others made."""
    noted = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    return None if noted is None else json.loads(noted)


def prepare(card: Path, folder: Path, *, load: LoadFrame | None = None) -> Path:
    """Build the task of a card, check it against the card's evidence, and write it to ``folder/benchmark``.

    Args:
        card: a task card (YAML).
        folder: the folder of prepared data.
        load: as in `build`; by default matminer data sets are fetched.

    Returns:
        The Parquet file.

    Raises:
        ValueError: the rows are not those of the card, although its recipe is exact. Nothing is written then.
    """
    content = read_yaml(card, what="task card")
    name, recipe = content["task"], Recipe.from_dict(content["recipe"])
    table = build(recipe, name, load=load or _load)
    found = Evidence.of(table[name])
    contradiction = Evidence(**content["evidence"]).contradiction(found)
    if contradiction and recipe.exact:
        raise ValueError(
            f"Task {name}: matminer's {recipe.dataset} gives {contradiction}; {card} does not fit this release"
        )
    if contradiction:
        logger.warning("Task %s: %s gives %s. %s", name, recipe.dataset, contradiction, content["fidelity"])
    path = folder / "benchmark" / f"{name}.parquet"
    origin = {
        "origin": "recipe",
        "dataset": recipe.dataset,
        "matminer": version("matminer"),
        "exact": not contradiction,
        "left_out": len(table.attrs["left_out"]),
        "evidence": asdict(found),
    }
    write_prepared(table, path, origin=origin)
    return path


def _load(name: str) -> pd.DataFrame:
    # Structures stay dicts until a row needs one: a join may take a few thousand out of a hundred thousand.
    return read_matminer(fetch_matminer(name), decode=False)


def _need(table: pd.DataFrame, dataset: str, columns: Sequence[str]) -> None:
    if missing := [column for column in columns if column not in table]:
        raise ValueError(
            f"The matminer data set {dataset} has no column {', '.join(missing)}; it has {', '.join(map(str, table))}"
        )


def _joined(source: pd.DataFrame, join: Join, load: LoadFrame) -> list[Structure | None]:
    other = load(join.dataset)
    _need(other, join.dataset, [join.right, "structure"])
    known = dict(zip(other[join.right], other["structure"], strict=True))
    return [known.get(key) for key in source[join.left]]
