"""Interatomic potentials: energies, forces and stresses of many cells at once.

Each potential is a network of `moe_mat.encoders`, which sees a crystal as bond vectors. So forces and stress come from
one gradient, that of the energy by the bond vectors, as in Knuth et al. (Comput. Phys. Commun. 190, 33, 2015) for any
energy of such a kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor

from moe_mat.graphs.radius import RadiusGraph, radius_graph_of

# Bytes: cells are computed together up to here.
MEMORY_AT_ONCE = 2**28


@dataclass(frozen=True, slots=True)
class Cell:
    """Atoms in a periodic cell, as bare arrays.

    Attributes:
        lattice: Rows are the lattice vectors, in Å ``[3, 3]``.
        positions: Cartesian, in Å ``[n_atoms, 3]``.
        atomic_numbers: ``[n_atoms]``.
    """

    lattice: np.ndarray
    positions: np.ndarray
    atomic_numbers: np.ndarray

    @classmethod
    def of(cls, structure: Structure) -> Cell:
        """The cell of an ordered structure."""
        return cls(structure.lattice.matrix, structure.cart_coords, np.array(structure.atomic_numbers))

    @property
    def volume(self) -> float:
        """In Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    def moved(self, displacements: np.ndarray) -> Cell:
        """The cell with its atoms moved by Cartesian displacements, in Å ``[n_atoms, 3]``."""
        return Cell(self.lattice, self.positions + displacements, self.atomic_numbers)

    def strained(self, strain: np.ndarray) -> Cell:
        """The cell with every vector ``r`` changed to ``r + r strain``; ``strain`` is symmetric ``[3, 3]``."""
        deformation = np.eye(3) + strain
        return Cell(self.lattice @ deformation, self.positions @ deformation, self.atomic_numbers)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a potential says of one cell.

    Attributes:
        energy: In eV per cell.
        forces: On the atoms, in eV/Å ``[n_atoms, 3]``; ``None`` where not asked for.
        stress: Derivative of the energy by the strain over the volume, in eV/Å³ ``[3, 3]``, negative under
            compression; ``None`` where not asked for.
    """

    energy: float
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Bonds:
    """The bonds of several cells, one after the other.

    Attributes:
        vectors: From centre to neighbour, in Å and double precision ``[n_bonds, 3]``.
        centers: ``[n_bonds]``.
        neighbors: ``[n_bonds]``.
        cell_of_atom: ``[n_atoms]``.
    """

    vectors: Tensor
    centers: Tensor
    neighbors: Tensor
    cell_of_atom: Tensor

    @classmethod
    def of(cls, graphs: Sequence[RadiusGraph]) -> Bonds:
        """Join the bonds of several cells."""
        n_atoms = np.array([len(graph.atomic_numbers) for graph in graphs])
        first = np.cumsum(n_atoms) - n_atoms
        return cls(
            vectors=torch.from_numpy(np.concatenate([graph.vectors for graph in graphs])),
            centers=torch.from_numpy(np.concatenate([g.centers + i for g, i in zip(graphs, first, strict=True)])),
            neighbors=torch.from_numpy(np.concatenate([g.neighbors + i for g, i in zip(graphs, first, strict=True)])),
            cell_of_atom=torch.from_numpy(np.repeat(np.arange(len(graphs)), n_atoms)),
        )


G = TypeVar("G")


class Potential(ABC, Generic[G]):
    """Base class of the potentials; ``G`` is what a potential makes of the bonds of one cell."""

    cutoff: float
    """Longest bond, in Å."""
    strain_step = 0.005
    """Norm of the strains, either way, between which slopes of the stress are taken."""
    displacement_step = 0.015
    """How far atoms are moved, in Å, either way, for slopes of the forces."""

    @property
    @abstractmethod
    def known_elements(self) -> Collection[int]:
        """Atomic numbers of the elements that it can represent."""

    @abstractmethod
    def graph(self, bonds: RadiusGraph) -> G:
        """What `energies` reads of one cell beside its bond vectors.

        Raises:
            UnsupportedCrystalError: When it would not fit into memory.
        """

    @abstractmethod
    def memory(self, graph: G, *, gradient: bool) -> int:
        """Bytes, roughly, that one cell takes in a batch, with or without the gradient."""

    @abstractmethod
    def energies(self, graphs: Sequence[G], vectors: Tensor) -> Tensor:
        """Energies of several cells in eV ``[n_cells]``, differentiable by the bond vectors.

        Args:
            graphs: Of the cells.
            vectors: Their bond vectors in Å, one after the other and in double precision ``[n_bonds, 3]``.
        """

    def evaluate(self, cells: Sequence[Cell], *, forces: bool = False, stress: bool = False) -> list[Evaluation]:
        """Energies, and where asked for forces and stresses, of any number of cells.

        Cells are computed together as far as they fit into memory; the result does not depend on it beyond single
        precision.

        Args:
            cells: Of known elements.
            forces: Whether forces are wanted.
            stress: Whether stresses are wanted.

        Raises:
            UnsupportedCrystalError: When a cell would not fit into memory.
        """
        gradient = forces or stress
        evaluated: list[Evaluation] = []
        for some, graphs in self._batches(cells, gradient=gradient):
            bonds = Bonds.of([bare for bare, _ in graphs])
            own = [graph for _, graph in graphs]
            if not gradient:
                with torch.no_grad():
                    energies = self.energies(own, bonds.vectors)
                evaluated += [Evaluation(energy) for energy in energies.tolist()]
                continue
            # Encoders run in inference mode, in which there is no gradient.
            with torch.inference_mode(False), torch.enable_grad(), _same_every_time():
                vectors = bonds.vectors.clone().requires_grad_(True)
                energies = self.energies(own, vectors)
                (slopes,) = torch.autograd.grad(energies.sum(), vectors, materialize_grads=True)
            all_forces, strain_slopes = _forces(bonds, slopes), _strain_slopes(bonds, slopes, len(some))
            last = np.cumsum([len(cell.atomic_numbers) for cell in some])
            of_cells = np.split(all_forces, last[:-1])
            for i, cell in enumerate(some):
                evaluated.append(
                    Evaluation(
                        energies[i].item(),
                        of_cells[i] if forces else None,
                        strain_slopes[i] / cell.volume if stress else None,
                    )
                )
        return evaluated

    def _batches(
        self, cells: Sequence[Cell], *, gradient: bool
    ) -> Iterator[tuple[list[Cell], list[tuple[RadiusGraph, G]]]]:
        some: list[Cell] = []
        graphs: list[tuple[RadiusGraph, G]] = []
        needed = 0
        for cell in cells:
            fractional = cell.positions @ np.linalg.inv(cell.lattice)
            bonds = radius_graph_of(cell.atomic_numbers, cell.lattice, fractional, cell.positions, cutoff=self.cutoff)
            graph = self.graph(bonds)
            memory = self.memory(graph, gradient=gradient)
            if some and needed + memory > MEMORY_AT_ONCE:
                yield some, graphs
                some, graphs, needed = [], [], 0
            some.append(cell)
            graphs.append((bonds, graph))
            needed += memory
        if some:
            yield some, graphs


@contextmanager
def _same_every_time() -> Iterator[None]:
    """Threads add up the gradients of an atom's bonds in whatever order they come, unless torch is told not to."""
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)


def _forces(bonds: Bonds, slopes: Tensor) -> np.ndarray:
    """Forces on all atoms ``[n_atoms, 3]`` from the energy's slopes by the bond vectors ``[n_bonds, 3]``."""
    forces = torch.zeros(len(bonds.cell_of_atom), 3, dtype=slopes.dtype)
    return forces.index_add_(0, bonds.centers, slopes).index_add_(0, bonds.neighbors, -slopes).numpy()


def _strain_slopes(bonds: Bonds, slopes: Tensor, n_cells: int) -> np.ndarray:
    """Slopes of the energies by symmetric strains ``[n_cells, 3, 3]``."""
    of_bonds = bonds.vectors[:, :, None] * slopes[:, None, :]
    of_cells = torch.zeros(n_cells, 3, 3, dtype=slopes.dtype)
    of_cells.index_add_(0, bonds.cell_of_atom[bonds.centers], (of_bonds + of_bonds.transpose(1, 2)) / 2)
    return of_cells.numpy()
