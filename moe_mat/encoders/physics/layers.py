"""Layers of a crystal: slabs that no bond connects, and the crystal with the gaps between them set to any width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.neighbours import neighbour_list
from moe_mat.crystals.sites import sites_of
from moe_mat.encoders.descriptors.composition import covalent_radii
from moe_mat.encoders.descriptors.packing import NARROWEST, families_of_planes
from moe_mat.encoders.descriptors.shells import LARGEST_RADIUS
from moe_mat.encoders.physics.potentials import Cell

# Times the sum of the covalent radii (Cordero et al., Dalton Trans. 2832, 2008): longer distances are no bonds. Bonds
# reach up to 1.2 in close-packed metals and in antimony; between the layers of arsenic they are 1.3 and of MoS2 1.7.
LONGEST_BOND = 1.25
TRIED = 50  # families of planes, those with the widest gap first
FREE = 5.0  # Å: across a wider gap, layers do not feel where the next one lies


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers one above the other. What is above the last one is the first one again.

    Attributes:
        cell: Its first two lattice vectors lie in the layers; atoms are not wrapped into it.
        normal: Unit vector, across the layers ``[3]``.
        layer_of_atom: From the lowest ``[n_atoms]``.
        gaps: Above each layer, between the centres of atoms, in Å ``[n_layers]``.
    """

    cell: Cell
    normal: np.ndarray
    layer_of_atom: np.ndarray
    gaps: np.ndarray

    @property
    def area(self) -> float:
        """Of the cell's face along the layers, in Å²."""
        return float(np.linalg.norm(np.cross(self.cell.lattice[0], self.cell.lattice[1])))

    @property
    def n_layers(self) -> int:
        """Number of layers in the cell."""
        return len(self.gaps)

    @property
    def thickness(self) -> float:
        """Mean over the layers, between the centres of their outermost atoms, in Å."""
        period = float(self.cell.lattice[2] @ self.normal)
        return (period - float(self.gaps.sum())) / self.n_layers

    def at(self, distance: float) -> Cell:
        """The crystal with all gaps of one width, in Å.

        Layers move along the normal. They keep what is above what, unless a gap of more than 5 Å, as in a cell with a
        vacuum, makes that arbitrary: then the last layer has the first one straight above it.
        """
        rise = np.concatenate([[0.0], np.cumsum(distance - self.gaps)])
        lattice = self.cell.lattice.copy()
        lattice[2] += rise[-1] * self.normal
        if self.gaps.max() > FREE:
            lattice[2] = (lattice[2] @ self.normal) * self.normal
        return Cell(
            lattice, self.cell.positions + rise[self.layer_of_atom, None] * self.normal, self.cell.atomic_numbers
        )


def find_layers(structure: Structure) -> Layers | None:
    """The layers of a crystal; ``None`` when bonds connect all of it.

    Of all families of lattice planes between which there is a gap that no bond crosses, the one with the widest gap is
    taken. The result is the same crystal for any primitive cell.

    Args:
        structure: A primitive cell.

    Raises:
        UnsupportedCrystalError: When the cell is so large that there are millions of families of planes.
    """
    bonds = _Bonds.of(structure)
    candidates: list[tuple[float, np.ndarray]] = []
    for planes in families_of_planes(structure.lattice.matrix, structure.frac_coords):
        # Planes of indices with a common divisor lie among those without, and so do their gaps.
        widest = np.where(np.gcd.reduce(planes.indices, axis=1) == 1, planes.gaps.max(axis=1), 0)
        best = np.argsort(-widest, kind="stable")[:TRIED]
        candidates = sorted([*candidates, *zip(widest[best], planes.indices[best], strict=True)], key=lambda c: -c[0])
        candidates = candidates[:TRIED]
    for gap, indices in candidates:
        if gap < NARROWEST:
            return None
        layers = _layers_between(structure, indices, bonds)
        if layers is not None:
            return layers
    return None


@dataclass(frozen=True, slots=True)
class _Bonds:
    """Bonds between atoms, from ``i`` to the image of ``j`` that is ``image`` lattice vectors away."""

    i: np.ndarray
    j: np.ndarray
    image: np.ndarray

    @classmethod
    def of(cls, structure: Structure) -> _Bonds:
        radii = np.nan_to_num(covalent_radii(sites_of(structure).atomic_numbers), nan=LARGEST_RADIUS)
        found = neighbour_list(structure, cutoff=2 * LONGEST_BOND * radii.max())
        bonded = found.distances < LONGEST_BOND * (radii[found.centers] + radii[found.neighbors])
        return cls(found.centers[bonded], found.neighbors[bonded], found.images[bonded])


def _layers_between(structure: Structure, indices: np.ndarray, bonds: _Bonds) -> Layers | None:
    """The layers along one family of planes; None when bonds cross all its gaps."""
    basis = _basis_along(indices)
    lattice = basis @ structure.lattice.matrix
    fractional = structure.frac_coords @ np.linalg.inv(basis)
    along = fractional[:, 2]  # heights in periods
    order = np.argsort(along % 1, kind="stable")
    heights = (along % 1)[order]
    normal = np.cross(lattice[0], lattice[1])
    normal *= np.sign(lattice[2] @ normal) / np.linalg.norm(normal)
    spacing = float(lattice[2] @ normal)
    widths = np.diff(heights, append=heights[:1] + 1)
    middles = heights + widths / 2
    # A bond crosses a gap when its ends lie on different sides of one of the gap's images.
    starts = along[bonds.i]
    ends = along[bonds.j] + bonds.image @ indices
    crossed = (np.floor(starts[:, None] - middles) != np.floor(ends[:, None] - middles)).any(axis=0)
    free = np.flatnonzero(~crossed & (widths * spacing > NARROWEST))
    if len(free) == 0:
        return None
    # The period starts above the last free gap.
    lowest = middles[free[-1]] - 1
    rank = np.searchsorted(middles[free], (along - lowest) % 1 + lowest)
    wrapped = fractional.copy()
    wrapped[:, 2] = (along - lowest) % 1 + lowest
    cell = Cell(lattice, wrapped @ lattice, np.array(structure.atomic_numbers))
    return Layers(cell, normal, rank, widths[free] * spacing)


def _basis_along(indices: np.ndarray) -> np.ndarray:
    """Three lattice vectors, of which the first two lie in a family of planes and the third leads to the next plane.

    Args:
        indices: Miller indices without a common divisor ``[3]``.

    Returns:
        Integer, of determinant 1 or -1 ``[3, 3]``.
    """
    rows = np.eye(3, dtype=int)
    rises = indices.astype(int).copy()
    while np.count_nonzero(rises) > 1:  # Euclid's algorithm on the planes that each vector rises by
        pivot = np.where(rises == 0, np.abs(rises).max() + 1, np.abs(rises)).argmin()
        quotients = rises // rises[pivot]
        quotients[pivot] = 0
        rows -= quotients[:, None] * rows[pivot]
        rises -= quotients * rises[pivot]
    pivot = int(np.flatnonzero(rises)[0])
    return np.concatenate([np.delete(rows, pivot, axis=0), rows[[pivot]] * np.sign(rises[pivot])])
