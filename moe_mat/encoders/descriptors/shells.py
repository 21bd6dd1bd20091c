"""Soft neighbour shells: every bond within a cutoff, weighted by how near a neighbour it leads to.

Nothing jumps when a crystal is turned, strained a little, or has several equal distances: no choice is made of bonded
or not bonded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.once import once_a_crystal
from moe_mat.crystals.sites import sites_of
from moe_mat.encoders.descriptors.composition import covalent_radii
from moe_mat.graphs.radius import RadiusGraph, radius_graph

CUTOFF = 8.0  # Å: second neighbours in caesium are at 6.1
SOFT_CUTOFF = 2.0  # Å over which a bond fades before the cutoff
SHARPNESS = 5.0
LARGEST_RADIUS = 1.69  # Å, of curium: for the actinides after it, which have none in the table
FARTHEST = 2.2  # times the nearest distance: beyond, a weight of Hoppe's is below 1e-5


@dataclass(frozen=True)
class Neighbours:
    """Weighted bonds of all atoms, each from either end.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        radii: Covalent radii in Å ``[n_atoms]``.
        i: Atom that each bond starts from ``[n_bonds]``.
        j: Atom that it points to ``[n_bonds]``.
        lengths: In Å ``[n_bonds]``.
        directions: Unit vectors ``[n_bonds, 3]``.
        weights: How near a neighbour ``j`` is to ``i``, falling to 0 ``[n_bonds]``.
    """

    atomic_numbers: np.ndarray
    radii: np.ndarray
    i: np.ndarray
    j: np.ndarray
    lengths: np.ndarray
    directions: np.ndarray
    weights: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.atomic_numbers)

    @cached_property
    def total_weights(self) -> np.ndarray:
        """Sum of the weights over the bonds of each atom ``[n_atoms]``."""
        return self.atom_sum(self.weights)

    def atom_sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over the bonds of each atom: ``[n_bonds]`` to ``[n_atoms]``."""
        return np.bincount(self.i, weights=values, minlength=self.n_atoms)

    def atom_mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean over the bonds of each atom, NaN where there are none: ``[n_bonds]`` to ``[n_atoms]``."""
        with np.errstate(invalid="ignore"):
            return self.atom_sum(self.weights * values) / self.total_weights

    def atom_min(self, values: np.ndarray) -> np.ndarray:
        """Smallest value over the bonds of each atom, NaN where there are none: ``[n_bonds]`` to ``[n_atoms]``."""
        smallest = _smallest(values, self.i, self.n_atoms)
        return np.where(np.isinf(smallest), np.nan, smallest)


@dataclass(frozen=True)
class Shells(Neighbours):
    """The neighbours in a primitive cell, near or far in relation to the sum of the covalent radii.

    Weights are 1 for the neighbour that is nearest in relative length, and fall as ``exp(-5 ((r / r_nearest)^2 - 1))``,
    times the fade. Atoms without a covalent radius have that of curium.

    Attributes:
        lattice: Rows are the lattice vectors, in Å ``[3, 3]``.
        positions: Fractional ``[n_atoms, 3]``.
        images: Cell of the atom that each bond points to, in lattice vectors ``[n_bonds, 3]``.
        relative: Length over the sum of the covalent radii ``[n_bonds]``.
        fade: From 1 to 0 between 6 and 8 Å, so that nothing jumps at the cutoff ``[n_bonds]``.
        weights_back: The weights seen from ``j`` ``[n_bonds]``.
    """

    lattice: np.ndarray
    positions: np.ndarray
    images: np.ndarray
    relative: np.ndarray
    fade: np.ndarray
    weights_back: np.ndarray

    @property
    def volume(self) -> float:
        """Volume of the primitive cell in Å^3."""
        return float(abs(np.linalg.det(self.lattice)))


@once_a_crystal
def all_bonds(structure: Structure) -> RadiusGraph:
    """All bonds within 8 Å."""
    return radius_graph(structure, cutoff=CUTOFF)


@once_a_crystal
def neighbour_shells(primitive: Structure) -> Shells:
    """The neighbours of all atoms of a primitive cell, by relative length."""
    graph = all_bonds(primitive)
    lengths, i, j = graph.lengths, graph.centers, graph.neighbors
    radii = np.nan_to_num(covalent_radii(graph.atomic_numbers), nan=LARGEST_RADIUS)
    relative = lengths / (radii[i] + radii[j])
    nearest = _smallest(relative, i, len(radii))
    fade = (1 + np.cos(np.pi * np.clip((lengths - CUTOFF + SOFT_CUTOFF) / SOFT_CUTOFF, 0, 1))) / 2
    return Shells(
        atomic_numbers=graph.atomic_numbers,
        radii=radii,
        i=i,
        j=j,
        lengths=lengths,
        directions=graph.vectors / lengths[:, None],
        weights=fade * np.exp(-SHARPNESS * ((relative / nearest[i]) ** 2 - 1)),
        lattice=sites_of(primitive).lattice,
        positions=sites_of(primitive).fractional,
        images=graph.images,
        relative=relative,
        fade=fade,
        weights_back=fade * np.exp(-SHARPNESS * ((relative / nearest[j]) ** 2 - 1)),
    )


def hoppe_neighbours(structure: Structure) -> Neighbours:
    """The neighbours of all atoms by Hoppe's weights (Z. Kristallogr. 150, 23, 1979), ``exp(1 - (d / d_mean)^6)``.

    They fall from 1 for the nearest to 0. ``d_mean`` is the mean over the bonds of an atom with the same weights in
    relation to the nearest distance. Radii are NaN where the table has none.
    """
    graph = all_bonds(structure)
    i, lengths, n_atoms = graph.centers, graph.lengths, len(graph.atomic_numbers)
    nearest = _smallest(lengths, i, n_atoms)
    near = lengths <= FARTHEST * nearest[i]
    i, lengths = i[near], lengths[near]
    first = np.exp(1 - (lengths / nearest[i]) ** 6)
    with np.errstate(invalid="ignore"):  # an isolated atom has sums of nothing
        typical = np.bincount(i, first * lengths, n_atoms) / np.bincount(i, first, n_atoms)
    return Neighbours(
        atomic_numbers=graph.atomic_numbers,
        radii=covalent_radii(graph.atomic_numbers),
        i=i,
        j=graph.neighbors[near],
        lengths=lengths,
        directions=graph.vectors[near] / lengths[:, None],
        weights=np.exp(1 - (lengths / typical[i]) ** 6),
    )


def over_atoms(of_atoms: dict[str, np.ndarray], *, counted: np.ndarray | None = None) -> dict[str, float]:
    """Mean, spread, minimum and maximum of each ``[n_atoms]``.

    Args:
        of_atoms: Values by name.
        counted: Which atoms count ``[n_atoms]``: one of them without a value leaves none to the crystal. By default
            those that have a value count.
    """
    table = np.array(list(of_atoms.values()))
    if counted is not None:
        table = table[:, counted]
    statistics = np.full((len(table), 4), np.nan)
    missing = np.isnan(table).any(axis=1) if counted is None else np.zeros(len(table), dtype=bool)
    statistics[~missing] = _statistics(table[~missing])
    for row in np.flatnonzero(missing):
        statistics[row] = _statistics(table[row : row + 1, ~np.isnan(table[row])])
    names = [f"{name}, {statistic}" for name in of_atoms for statistic in ("mean", "spread", "min", "max")]
    return dict(zip(names, statistics.ravel().tolist(), strict=True))


def _statistics(table: np.ndarray) -> np.ndarray:
    """Mean, spread, minimum and maximum of each row ``[n_rows, 4]``, NaN where rows are empty."""
    if not table.shape[1]:
        return np.full((len(table), 4), np.nan)
    return np.stack([table.mean(axis=1), table.std(axis=1), table.min(axis=1), table.max(axis=1)], axis=1)


def _smallest(values: np.ndarray, i: np.ndarray, n_atoms: int) -> np.ndarray:
    """Smallest value over the bonds of each atom, infinite where there are none."""
    smallest = np.full(n_atoms, np.inf)
    np.minimum.at(smallest, i, values)
    return smallest
