"""The leakage audit: which crystals of a task or a data set the experts have seen before, in their own training.

Two crystals are the *same* when pymatgen's `StructureMatcher` fits one onto the other with its default tolerances:
primitive cells, volumes scaled to be equal, elements alone counting. Only crystals of one reduced formula are compared,
and only with crystals of the source's training part that have a value of a property the expert learned.

Where the file of a source is not at hand, what the experts note of their training crystals stands in: two crystals
count as the same when the atoms of one cell are a multiple of those of the other, and the volumes per atom differ by
less than 10 %. On the benchmark that finds nine tenths or more of what the matcher finds, and a sixth that it does not.
It is marked as estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure

from moe_mat.audit.exposure import Exposure, TrainingSet, group
from moe_mat.audit.quantities import determines, quantity_of
from moe_mat.crystals.formulas import Formula
from moe_mat.crystals.readers import iter_crystals
from moe_mat.crystals.structure_arrays import structure_from_arrays
from moe_mat.crystals.structures import structure_key
from moe_mat.crystals.training_crystals import TrainingCrystals, formula_hash
from moe_mat.files.progress import Progress
from moe_mat.zoo.cards import ExpertCard

VOLUME_TOLERANCE = 0.1
FLAGS = ("crystal", "crystal_with_label", "formula", "formula_with_label")
"""What an `Overlap` says of each crystal."""
LEFT = {
    "leak-free": "crystal_with_label",
    "leak-free by formula": "formula_with_label",
    "new formulas": "formula",
}
"""Rows that remain: the flag of those that are taken away, the strictest last."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Which of n crystals some experts, all of the same exposure, have learned from.

    Attributes:
        experts: Their tags.
        exposure: What they learned from.
        quantity: The one in question.
        formula: Whether a training crystal has the same reduced formula ``[n]``.
        formula_with_label: Of those, whether one had a value of the quantity in question, or of one that it follows
            from.
        crystal: Whether a training crystal is the same by structure ``[n]``.
        crystal_with_label: Of those, likewise.
        estimated: Why ``crystal`` and ``crystal_with_label`` are estimated without structures, for each source of which
            they are; empty where structures were compared.
    """

    experts: tuple[str, ...]
    exposure: Exposure
    quantity: str
    formula: np.ndarray
    formula_with_label: np.ndarray
    crystal: np.ndarray
    crystal_with_label: np.ndarray
    estimated: tuple[str, ...] = ()

    @property
    def possibly(self) -> bool:
        """Whether the label may also have been learned from crystals that are not known one by one."""
        return self.exposure.may_tell(self.quantity)


def rows_left(overlaps: Sequence[Overlap]) -> dict[str, np.ndarray]:
    """Which rows remain when those that experts have seen are taken away, as far as training crystals are known.

    Returns:
        ``leak-free`` to the rows ``[n]`` that are no training crystal, by structure, of which an expert learned the
        quantity; ``leak-free by formula`` to those whose formula no such crystal has; ``new formulas`` to those whose
        formula no training crystal has, whatever was learned of it.
    """
    return {kind: ~np.any([getattr(one, flag) for one in overlaps], axis=0) for kind, flag in LEFT.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Crystals of some data beside those of one source.

    Attributes:
        training_crystals: Of the source.
        pairs: Crystal and training crystal of one reduced formula ``[n_pairs, 2]``.
        same: Whether the two are the same by structure ``[n_pairs]``.
        estimated: Why ``same`` is estimated; ``None`` where it is not.
    """

    training_crystals: TrainingCrystals
    pairs: np.ndarray
    same: np.ndarray
    estimated: str | None

    def rows(self, properties: Sequence[str], *, max_atoms: int, n_crystals: int, same: bool) -> np.ndarray:
        """Crystals of which properties were learned ``[n_crystals]``, from the same or any crystal of the formula."""
        learned = self.training_crystals.trained_on(properties, max_atoms=max_atoms or None)[self.pairs[:, 1]]
        flags = np.zeros(n_crystals, dtype=bool)
        flags[self.pairs[learned & self.same if same else learned, 0]] = True
        return flags


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """n crystals compared with all that some experts were trained on, whatever is to be predicted of them.

    Attributes:
        groups: What was learned, and the experts that share it.
        compared: TrainingCrystals and file of each source, and what was found in it.
        place: Of each crystal among those that differ ``[n]``.
    """

    groups: Mapping[Exposure, tuple[str, ...]]
    compared: Mapping[tuple[Path, str], Compared]
    place: np.ndarray

    def overlaps(self, quantity: str) -> list[Overlap]:
        """What experts have learned of the crystals that tells a quantity, an entry for each group of experts."""
        return [self._overlap(exposure, tags, quantity) for exposure, tags in self.groups.items()]

    def _overlap(self, exposure: Exposure, tags: tuple[str, ...], quantity: str) -> Overlap:
        n_crystals = int(self.place.max(initial=-1)) + 1
        flags = {name: np.zeros(n_crystals, dtype=bool) for name in FLAGS}
        estimated = []
        for one in exposure.known:
            found = self.compared[one.training_crystals, one.file]
            telling = [name for name in one.properties if determines(quantity_of(name), quantity)]
            for name, properties in (("crystal", one.properties), ("crystal_with_label", telling)):
                flags[name] |= found.rows(properties, max_atoms=one.max_atoms, n_crystals=n_crystals, same=True)
            for name, properties in (("formula", one.properties), ("formula_with_label", telling)):
                flags[name] |= found.rows(properties, max_atoms=one.max_atoms, n_crystals=n_crystals, same=False)
            estimated += [found.estimated] if found.estimated else []
        return Overlap(
            tags, exposure, quantity, **{n: of[self.place] for n, of in flags.items()}, estimated=tuple(estimated)
        )


def match(structures: Sequence[Structure], cards: Sequence[ExpertCard], *, sources: Path) -> Matches:
    """Compare crystals with those that experts were trained on.

    Args:
        structures: n crystals; those that occur twice are compared once.
        cards: Of the experts.
        sources: Folder of the sources' files.

    Raises:
        ValueError: When training crystals are damaged, or are not those of their expert; names file and expert.
    """
    groups = group(cards)
    training_sets = {one: tags for exposure, tags in groups.items() for one in exposure.known}
    by_source: dict[tuple[Path, str], list[TrainingSet]] = {}
    for one in training_sets:
        by_source.setdefault((one.training_crystals, one.file), []).append(one)
    crystals, place = _unique(structures)
    compared: dict[tuple[Path, str], Compared] = {}
    for key, of_source in by_source.items():
        training_crystals = TrainingCrystals.load(key[0])
        for one in of_source:
            _check(one, training_crystals, training_sets[one])
        seen = [training_crystals.trained_on(one.properties, max_atoms=one.max_atoms or None) for one in of_source]
        pairs = _candidates(crystals, training_crystals, np.any(seen, axis=0))
        paths = [sources / name for name in of_source[0].files]
        compared[key] = Compared(training_crystals, pairs, *_same(crystals, training_crystals, pairs, paths))
    return Matches(groups, compared, place)


def _check(one: TrainingSet, training_crystals: TrainingCrystals, tags: Sequence[str]) -> None:
    if unknown := sorted({*one.properties} - {*training_crystals.properties}):
        raise ValueError(
            f"{one.training_crystals} does not say which crystals {tags[0]} learned {', '.join(unknown)} from: it was "
            "written for other targets, so pretrain the expert again"
        )


def _unique(structures: Sequence[Structure]) -> tuple[list[Structure], np.ndarray]:
    """The crystals that differ, and for each crystal its place among them ``[n]``."""
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(structure_key(one), len(places)) for one in structures], dtype=np.int64)
    _, first = np.unique(place, return_index=True)
    return [structures[row] for row in first], place


def _candidates(crystals: Sequence[Structure], training_crystals: TrainingCrystals, seen: np.ndarray) -> np.ndarray:
    """Pairs of crystal and training crystal of one reduced formula ``[n_pairs, 2]``."""
    hashes = np.array([formula_hash(one) for one in crystals], dtype=np.uint64)
    first, last = (np.searchsorted(training_crystals.formulas, hashes, side) for side in ("left", "right"))
    pairs = [(row, other) for row in range(len(crystals)) for other in range(first[row], last[row]) if seen[other]]
    pairs.sort(key=lambda pair: pair[1])  # formula by formula: the matcher remembers the last cells that it reduced
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _same(
    crystals: Sequence[Structure],
    training_crystals: TrainingCrystals,
    pairs: np.ndarray,
    paths: Sequence[Path],
) -> tuple[np.ndarray, str | None]:
    """Which pairs are the same crystal ``[n_pairs]``, and why that is estimated, if it is."""
    if crystals and isinstance(crystals[0], Formula):
        return np.ones(len(pairs), dtype=bool), None  # of a formula there is nothing else to compare
    ids = training_crystals.material_ids[pairs[:, 1]].tolist()
    structures, estimated = _read_source(paths, frozenset(ids)) if ids else ({}, None)
    bare = {row: _bare(crystals[row]) for row in set(pairs[:, 0].tolist())}
    matcher = StructureMatcher()
    same = np.zeros(len(pairs), dtype=bool)
    with Progress("matching crystals", total=len(pairs)) as progress:
        for number, (row, other) in enumerate(pairs.tolist()):
            learned = structures.get(ids[number])
            same[number] = (
                alike(crystals[row], training_crystals, other) if learned is None else matcher.fit(bare[row], learned)
            )
            progress.advance()
    return same, estimated


def _read_source(paths: Sequence[Path], wanted: frozenset[str]) -> tuple[dict[str, Structure], str | None]:
    """The structures of some crystals of a source, and what is wrong when some are not there."""
    found: dict[str, Structure] = {}
    for path in paths:
        if path.is_file():
            crystals = iter_crystals(path, only=wanted - found.keys(), on_error="skip")
            found |= {crystal.material_id: _bare(crystal.structure) for crystal in crystals}
    if len(found) == len(wanted):
        return found, None
    if not paths:
        return found, "a card names no file of its source"
    if absent := [path.name for path in paths if not path.is_file()]:
        return found, f"{', '.join(absent)} is not there"
    names = ", ".join(path.name for path in paths)
    return found, f"{names} lacks {len(wanted) - len(found)} of {len(wanted)} crystals, so it is another version"


def _bare(structure: Structure) -> Structure:
    """The crystal without oxidation states and spins, which are no difference here."""
    symbols = [Element.from_Z(number).symbol for number in structure.atomic_numbers]
    return structure_from_arrays(structure.lattice.matrix, symbols, structure.cart_coords)


def alike(crystal: Structure, training_crystals: TrainingCrystals, row: int) -> bool:
    """Whether cells of one formula have numbers of atoms that divide each other, and similar volumes per atom."""
    few, many = sorted((len(crystal), int(training_crystals.n_atoms[row])))
    ratio = crystal.volume / len(crystal) / float(training_crystals.volumes[row])
    return many % few == 0 and abs(ratio - 1) < VOLUME_TOLERANCE
