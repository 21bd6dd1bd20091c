"""Symmetry operations of a crystal as they act on vectors, tensors and atoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Structure

TOLERANCE = 0.01  # Å: what is symmetric to less is averaged
SAME_POSITION = 0.05  # Å: operations are found within the tolerance, and are then those of a crystal near by


@dataclass(frozen=True, slots=True)
class Operations:
    """The point operations of a primitive cell; one for each operation of the point group.

    Attributes:
        rotations: Cartesian, of determinant 1 or -1 ``[n, 3, 3]``.
        partners: The atom that each atom comes to lie on ``[n, n_atoms]``.
        axes: Turns the crystal into its standard orientation: a Cartesian vector ``r`` there is ``axes r`` ``[3, 3]``.
    """

    rotations: np.ndarray
    partners: np.ndarray
    axes: np.ndarray

    def images_of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """What each operation makes of vectors on the atoms: ``[n_atoms, 3]`` to ``[n, n_atoms, 3]``."""
        turned = np.einsum("gij,aj->gai", self.rotations, vectors)
        images = np.empty_like(turned)
        np.put_along_axis(images, self.partners[:, :, None], turned, axis=1)
        return images

    def images_of_tensor(self, tensor: np.ndarray) -> np.ndarray:
        """What each operation makes of a tensor: ``[3, 3]`` to ``[n, 3, 3]``."""
        return self.rotations @ tensor @ self.rotations.transpose(0, 2, 1)


def operations_of(structure: Structure) -> Operations:
    """The operations that spglib finds within 0.01 Å in a primitive cell; the identity alone where it finds none."""
    lattice, positions = structure.lattice.matrix, structure.frac_coords
    identity = Operations(np.eye(3)[None], np.arange(len(structure))[None], np.eye(3))
    cell: Any = (lattice, positions, structure.atomic_numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=TOLERANCE)
    except Exception:  # its older releases return None instead, and have no error of their own to catch
        found = None
    if found is None:
        return identity
    # A vector x of fractions becomes x lattice: rotations are similar to those of fractions, from the right.
    rotations = lattice.T @ found.rotations @ np.linalg.inv(lattice.T)
    _, first = np.unique(found.rotations.reshape(-1, 9), axis=0, return_index=True)
    kept, partners = [], []
    for i in first:
        moved = positions @ found.rotations[i].T + found.translations[i]
        offsets = moved[:, None] - positions[None]
        distances = np.linalg.norm((offsets - np.round(offsets)) @ lattice, axis=2)
        nearest = distances.argmin(axis=1)
        if distances.min(axis=1).max() > SAME_POSITION or len(np.unique(nearest)) < len(nearest):
            return identity
        kept.append(_nearest_rotation(rotations[i]))
        partners.append(nearest)
    return Operations(np.array(kept), np.array(partners), _nearest_rotation(found.std_rotation_matrix))


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to one that is orthogonal within the tolerance ``[3, 3]``."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right
