"""The crystals that experts were trained on: enough to find one again, and small enough to ship."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.formulas import Formula
from moe_mat.files.whole import whole_file

PARTS = ("train", "val", "test")


def formula_hash(crystal: Structure | str) -> int:
    """64-bit hash of the reduced formula, the same in every process.

    Args:
        crystal: A structure, or its reduced formula without oxidation states.
    """
    formula = crystal if isinstance(crystal, str) else crystal.composition.element_composition.reduced_formula
    return int.from_bytes(hashlib.blake2b(formula.encode(), digest_size=8).digest(), "little")


def part_of(material_id: str, *, fractions: tuple[float, float, float], seed: int) -> int:
    """Index in `PARTS` of the part that a crystal falls into.

    It depends on the id and the seed alone, so that every training on a source has the same test crystals, whatever
    else it leaves out.
    """
    digest = hashlib.blake2b(f"{seed}:{material_id}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "little") / 2**64
    return int(share >= fractions[0]) + int(share >= fractions[0] + fractions[1])


@dataclass(frozen=True)
class TrainingCrystals:
    """The crystals of one source that have a value, ordered by formula.

    Attributes:
        material_ids: ``[n]``, the source's names.
        formulas: Hashes of the reduced formulas, ascending ``[n]`` uint64, see `formula_hash`.
        n_atoms: Atoms in the cell as given ``[n]`` uint16.
        volumes: Volume in Å³ per atom ``[n]`` float32; NaN of formulas.
        parts: Index in `PARTS` ``[n]`` uint8.
        has_value: Whether a crystal has a value of a property after cleaning ``[n, n_properties]``.
        properties: What its columns are.
    """

    material_ids: np.ndarray
    formulas: np.ndarray
    n_atoms: np.ndarray
    volumes: np.ndarray
    parts: np.ndarray
    has_value: np.ndarray
    properties: tuple[str, ...]

    @classmethod
    def of(
        cls,
        material_ids: Sequence[str],
        structures: Sequence[Structure],
        *,
        parts: Sequence[int],
        values: dict[str, np.ndarray],
    ) -> TrainingCrystals:
        """The training crystals of a source.

        Args:
            material_ids: Their names.
            structures: The crystals.
            parts: Index in `PARTS` of each.
            values: Property to values ``[n]``, NaN where there is none.
        """
        return cls(
            material_ids=np.array(material_ids, dtype=np.str_),
            formulas=np.array([formula_hash(s) for s in structures], dtype=np.uint64),
            n_atoms=np.array([len(s) for s in structures], dtype=np.uint16),
            volumes=np.array([volume_per_atom(s) for s in structures], dtype=np.float32),
            parts=np.array(parts, dtype=np.uint8),
            has_value=np.stack([np.isfinite(v) for v in values.values()], axis=1),
            properties=tuple(values),
        )

    @classmethod
    def join(cls, several: Sequence[TrainingCrystals]) -> TrainingCrystals:
        """All crystals of several sets of the same properties, ordered."""
        rows = {name: np.concatenate([getattr(one, name) for one in several]) for name in _ROWS}
        order = np.lexsort((rows["material_ids"], rows["formulas"]))
        return cls(**{name: values[order] for name, values in rows.items()}, properties=several[0].properties)

    def of_crystals(self, material_ids: Collection[str]) -> TrainingCrystals:
        """Those among them that have one of some names."""
        kept = np.isin(self.material_ids, np.array(list(material_ids), dtype=np.str_))
        return replace(self, **{name: getattr(self, name)[kept] for name in _ROWS})

    def of_properties(self, properties: Sequence[str]) -> TrainingCrystals:
        """The same crystals with other columns; they have no value of a property that was not among theirs."""
        none = np.zeros(len(self.parts), dtype=bool)
        known = dict(zip(self.properties, self.has_value.T, strict=True))
        columns = [known.get(name, none) for name in properties]
        return replace(self, has_value=np.stack(columns, axis=1), properties=tuple(properties))

    def trained_on(self, properties: Sequence[str], *, max_atoms: int | None = None) -> np.ndarray:
        """Which crystals an expert saw in training ``[n]``: those of the training part with a value of a property.

        Args:
            properties: The expert's.
            max_atoms: Largest cell that it was trained on.
        """
        columns = [self.properties.index(name) for name in properties]
        small = self.n_atoms <= (np.iinfo(np.uint16).max if max_atoms is None else max_atoms)
        return (self.parts == PARTS.index("train")) & small & self.has_value[:, columns].any(axis=1)

    def save(self, path: Path) -> None:
        """Write to a compressed NumPy file, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _ROWS}
        # bytes, because NumPy spends four on every character of a string
        arrays["material_ids"] = np.char.encode(self.material_ids, "utf-8")
        arrays["has_value"] = np.packbits(self.has_value, axis=1)
        with whole_file(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays, properties=np.array(self.properties, dtype=np.str_))

    @classmethod
    def load(cls, path: Path) -> TrainingCrystals:
        """Read what `save` wrote.

        Raises:
            ValueError: When the file is missing, damaged or another one; names it.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ROWS}
                properties = tuple(file["properties"].tolist())
            arrays["material_ids"] = np.char.decode(arrays["material_ids"], "utf-8")
            arrays["has_value"] = np.unpackbits(arrays["has_value"], axis=1, count=len(properties)).astype(bool)
            return cls(**arrays, properties=properties)
        except Exception as error:  # zipfile and numpy fail on damaged files in many ways
            raise ValueError(f"{path} is not a usable file of training crystals: {error}") from error


def volume_per_atom(structure: Structure) -> float:
    """In Å³; NaN of a formula."""
    return np.nan if isinstance(structure, Formula) else structure.volume / len(structure)


_ROWS = ("material_ids", "formulas", "n_atoms", "volumes", "parts", "has_value")
