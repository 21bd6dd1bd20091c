"""The soft neighbour shells of a primitive cell, which the local environment and the spring network share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS, element_property
from moe_mat.graphs.radius_graph import radius_graph

CUTOFF = 8.0  # Å: second neighbours in caesium are at 6.1
SOFT_CUTOFF = 2.0  # Å over which a bond fades before the cutoff
SHARPNESS = 5.0
NEGLIGIBLE = 1e-4
LARGEST_RADIUS = 1.69  # Å, of curium: for the actinides after it, which have none in the table


@dataclass(frozen=True, slots=True)
class Shells:
    """The bonds of a primitive cell, each from either end, and how near a neighbour each one is.

    Attributes:
        atomic_numbers: ``[n_atoms]``.
        lattice: Rows are the lattice vectors, in Å ``[3, 3]``.
        positions: Fractional ``[n_atoms, 3]``.
        i: Atom that each bond starts from ``[n_bonds]``.
        j: Atom that it points to ``[n_bonds]``.
        images: Cell of that atom, in lattice vectors ``[n_bonds, 3]``.
        lengths: In Å ``[n_bonds]``.
        directions: Unit vectors ``[n_bonds, 3]``.
        relative: Length over the sum of the covalent radii ``[n_bonds]``.
        fade: From 1 to 0 between 6 and 8 Å, so that nothing jumps at the cutoff ``[n_bonds]``.
        weights: Seen from ``i``: 1 for the nearest neighbour in relative length, falling as
            ``exp(-5 ((r / r_nearest)^2 - 1))``, times the fade ``[n_bonds]``.
        weights_back: The same seen from ``j`` ``[n_bonds]``.
    """

    atomic_numbers: np.ndarray
    lattice: np.ndarray
    positions: np.ndarray
    i: np.ndarray
    j: np.ndarray
    images: np.ndarray
    lengths: np.ndarray
    directions: np.ndarray
    relative: np.ndarray
    fade: np.ndarray
    weights: np.ndarray
    weights_back: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the primitive cell."""
        return len(self.atomic_numbers)

    @property
    def volume(self) -> float:
        """Volume of the primitive cell in Å^3."""
        return float(abs(np.linalg.det(self.lattice)))

    def atom_sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over the bonds of each atom: ``[n_bonds]`` to ``[n_atoms]``."""
        return np.bincount(self.i, weights=values, minlength=self.n_atoms)

    def atom_mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean over the bonds of each atom, NaN where there are none: ``[n_bonds]`` to ``[n_atoms]``."""
        with np.errstate(invalid="ignore"):
            return self.atom_sum(self.weights * values) / self.atom_sum(self.weights)


def covalent_radii(atomic_numbers: np.ndarray) -> np.ndarray:
    """Covalent radii in Å ``[n]`` (Cordero et al., Dalton Trans. 2832, 2008)."""
    radii = element_property("CovalentRadius")[atomic_numbers] / 100  # pm to Å
    return np.nan_to_num(radii, nan=LARGEST_RADIUS)


def neighbour_shells(structure: Structure) -> Shells:
    """All bonds of a primitive cell within 8 Å.

    Raises:
        UnsupportedCrystalError: When an element is not in the Magpie tables.
    """
    graph = radius_graph(structure, cutoff=CUTOFF, known=KNOWN_ELEMENTS, encoder="the Magpie tables")
    lengths, i, j = graph.lengths, graph.centers, graph.neighbors
    radii = covalent_radii(graph.atomic_numbers)
    relative = lengths / (radii[i] + radii[j])
    nearest = np.full(len(radii), np.inf)
    np.minimum.at(nearest, i, relative)
    fade = (1 + np.cos(np.pi * np.clip((lengths - CUTOFF + SOFT_CUTOFF) / SOFT_CUTOFF, 0, 1))) / 2
    return Shells(
        atomic_numbers=graph.atomic_numbers,
        lattice=np.asarray(structure.lattice.matrix),
        positions=np.asarray(structure.frac_coords),
        i=i,
        j=j,
        images=graph.images,
        lengths=lengths,
        directions=graph.vectors / lengths[:, None],
        relative=relative,
        fade=fade,
        weights=fade * np.exp(-SHARPNESS * ((relative / nearest[i]) ** 2 - 1)),
        weights_back=fade * np.exp(-SHARPNESS * ((relative / nearest[j]) ** 2 - 1)),
    )


def over_atoms(of_atoms: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean, spread, minimum and maximum of each ``[n_atoms]``; atoms without a value do not count."""
    features: dict[str, float] = {}
    for name, values in of_atoms.items():
        present = values[~np.isnan(values)]
        statistics = (present.mean(), present.std(), present.min(), present.max()) if len(present) else [np.nan] * 4
        names = (f"{name}, {statistic}" for statistic in ("mean", "spread", "min", "max"))
        features |= dict(zip(names, map(float, statistics), strict=True))
    return features
