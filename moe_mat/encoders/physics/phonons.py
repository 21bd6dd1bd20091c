"""Phonons of a potential: dynamical matrices from displaced atoms, in the harmonic approximation.

One atom after the other is moved by 0.003 Å, as far as symmetry does not give one from another (phonopy; Togo, J. Phys.
Soc. Jpn. 92, 012001, 2023), and the forces on all atoms are the columns of the force constants (Parlinski, Li, Kawazoe,
Phys. Rev. Lett. 78, 4063, 1997). In twice the primitive cell along each axis this is exact at the eight wave vectors
that are half a reciprocal lattice vector, which do not depend on the choice of the primitive cell. The crystal is taken
as it is, not relaxed by the potential; the forces at rest are subtracted, and the largest one is a number of its own.
Long-range electric fields, which split longitudinal from transverse modes, are in no force of such a potential.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pymatgen.core import Structure

from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS
from moe_mat.encoders.descriptors.shells import Shells, neighbour_shells
from moe_mat.encoders.descriptors.springs import MOST_ATOMS, einstein_frequencies, force_matrices, spring_network
from moe_mat.encoders.physics.potential_encoder import DEFAULT_POTENTIAL, PotentialEncoder
from moe_mat.encoders.physics.potentials import Cell
from moe_mat.encoders.physics.quantities import Quantity
from moe_mat.encoders.physics.vibrations import QUANTITIES, WAVENUMBER, Vibrations, vibration_numbers
from moe_mat.encoders.registry import register_encoder
from moe_mat.graphs.radius import radius_graph

DISPLACEMENT = 0.003  # Å: third derivatives, and rounding in single precision, each cost a tenth of a per cent
TOLERANCE = 1e-3  # Å, of symmetry
MOST_BONDS = 16_000  # of all displaced cells together: some three seconds of 7net-0 on one core
MOST_BONDS_A_CELL = 8_000  # about a gigabyte with the gradient
SPRING = 15.0  # eV Å: from a spring of the network, in 1/Å³, to one in eV/Å²; the median of crystals that have both
HALVES = np.array(list(np.ndindex(2, 2, 2))) / 2
FORCE_FLOOR = 0.01  # eV/Å


@dataclass(frozen=True, slots=True)
class Displaced:
    """The cells of one crystal whose forces are wanted.

    Attributes:
        phonopy: Has the displacements; ``None`` where the crystal is too large.
        primitive: The primitive cell at rest.
        cells: With one atom displaced each.
        springs: What the spring network says of the crystal; ``None`` where it is not needed.
    """

    phonopy: Any
    primitive: Cell
    cells: list[Cell]
    springs: Vibrations | None


@register_encoder("phonons")
class PhononEncoder(PotentialEncoder):
    """Spectrum of the phonons of a potential, and its largest force on an atom at rest.

    Small crystals have all eight half wave vectors. Where the cells for that have more than 16,000 bonds together, it
    is the zone centre alone, from displacements in the primitive cell; beyond the same limit there, the spring network
    of `moe_mat.encoders.descriptors.springs` takes the place of the potential. Two flags say so.

    Args:
        potential: A name that `load_potential` knows.

    Raises:
        ValueError: When there is no such potential.
        ImportError: When phonopy is not installed.
    """

    quantities: ClassVar[Mapping[str, Sequence[Quantity]]] = {
        "phonons": (
            *QUANTITIES,
            Quantity("largest force", "ln(eV/Å)", "ln(largest force on an atom at rest + 0.01)"),
            Quantity("zone centre only", "1", "1 where no wave vector but the zone centre was computed, else 0"),
            Quantity("springs", "1", "1 where a network of springs stands in for the potential, else 0"),
        )
    }

    def __init__(self, *, potential: str = DEFAULT_POTENTIAL) -> None:
        super().__init__(potential=potential)
        try:
            import phonopy  # noqa: F401
        except ImportError as error:
            raise ImportError("phonons need the phonopy package: pip install moe_mat[physics]") from error

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return {*KNOWN_ELEMENTS} & {*self._potential.known_elements}

    def prepare(self, structure: Structure) -> Displaced:  # noqa: D102
        primitive = self.primitive(structure)
        n_bonds = len(radius_graph(primitive, cutoff=self._potential.cutoff).centers)
        at_rest = Cell.of(primitive)
        for repeats in (2, 1):
            per_cell = n_bonds * repeats**3
            if per_cell > MOST_BONDS_A_CELL or (repeats == 1 and len(primitive) == 1):
                continue
            phonopy = _displacements(primitive, repeats=repeats)
            if len(phonopy.displacements) * per_cell <= MOST_BONDS:
                cells = [Cell(c.cell, c.positions, c.numbers) for c in phonopy.supercells_with_displacements]
                return Displaced(phonopy, at_rest, cells, None)
        return Displaced(None, at_rest, [], spring_vibrations(neighbour_shells(primitive)))

    def compute(self, samples: Sequence[Displaced]) -> np.ndarray:  # noqa: D102
        rows = []
        for sample, (modes, force) in zip(samples, self.vibrations(samples), strict=True):
            flags = float(len(modes.squares) == 1), float(sample.springs is not None)
            rows.append([*vibration_numbers(modes).values(), np.log(force + FORCE_FLOOR), *flags])
        return np.array(rows)

    def vibrations(self, samples: Sequence[Displaced]) -> list[tuple[Vibrations, float]]:
        """Normal modes of each crystal, and the largest force on an atom at rest, in eV/Å."""
        cells = [cell for sample in samples for cell in (sample.primitive, *sample.cells)]
        forces = iter([np.array(found.forces) for found in self._potential.evaluate(cells, forces=True)])
        found = []
        for sample in samples:
            at_rest = next(forces)
            displaced = np.array([next(forces) for _ in sample.cells])
            modes = sample.springs or _vibrations(sample.phonopy, at_rest, displaced)
            found.append((modes, float(np.linalg.norm(at_rest, axis=1).max())))
        return found


def _displacements(primitive: Structure, *, repeats: int) -> Any:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        numbers=primitive.atomic_numbers, scaled_positions=primitive.frac_coords, cell=primitive.lattice.matrix
    )
    phonopy = Phonopy(
        cell, supercell_matrix=repeats * np.eye(3, dtype=int), primitive_matrix=np.eye(3), symprec=TOLERANCE
    )
    phonopy.generate_displacements(distance=DISPLACEMENT, is_plusminus=False)
    return phonopy


def _vibrations(phonopy: Any, at_rest: np.ndarray, displaced: np.ndarray) -> Vibrations:
    """Modes from the forces at rest ``[n_atoms, 3]`` and in the displaced cells ``[n_cells, n_in_cell, 3]``."""
    supercell = phonopy.supercell
    of_unit = np.searchsorted(supercell.u2s_map, supercell.s2u_map)
    phonopy.forces = displaced - at_rest[of_unit]
    phonopy.produce_force_constants(show_drift=False)
    phonopy.symmetrize_force_constants(show_drift=False)
    wave_vectors = HALVES if len(supercell) > len(at_rest) else HALVES[:1]
    matrices = phonopy.run_qpoints(wave_vectors, with_dynamical_matrices=True).dynamical_matrices
    return Vibrations.of_matrices(matrices, phonopy.primitive.masses)


def spring_vibrations(shells: Shells) -> Vibrations:
    """The same at the zone centre of the spring network; in cells of more than 100 atoms each moves alone."""
    springs = spring_network(shells)
    if len(springs.masses) <= MOST_ATOMS:
        inverse = np.repeat(springs.masses**-0.5, 3)
        gamma = force_matrices(springs)[:1] * SPRING * inverse[:, None] * inverse
        return Vibrations.of_matrices(gamma, springs.masses)
    squares = einstein_frequencies(springs) ** 2 * SPRING * WAVENUMBER**2
    order = np.argsort(squares)
    return Vibrations(
        squares=squares[None, order],
        shares=np.eye(len(squares))[None, order],
        counted=np.ones((1, len(squares)), dtype=bool),
        einstein=squares,
        masses=springs.masses,
    )
