"""How stiff a crystal is: its stiffness tensor with relaxed atoms, and its equation of state, from a potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ase.units import GPa
from pymatgen.core import Structure
from scipy.constants import angstrom, atomic_mass, hbar, k

from moe_mat.encoders.descriptors.composition import element_property
from moe_mat.encoders.physics.moduli import FLOOR, equation_of_state, moduli
from moe_mat.encoders.physics.operations import Operations, operations_of
from moe_mat.encoders.physics.potential_encoder import PotentialEncoder
from moe_mat.encoders.physics.potentials import Cell
from moe_mat.encoders.physics.quantities import Quantity
from moe_mat.encoders.physics.relaxation import relax
from moe_mat.encoders.physics.rounds import Calculation, run_together
from moe_mat.encoders.physics.stiffness import Steps, Stiffness, stiffness, to_mandel
from moe_mat.encoders.registry import register_encoder

MOST_RELAXED = 24  # atoms in the primitive cell; beyond, the crystal is taken as given, and its atoms do not follow
MOST_ATOMS = 48  # beyond, there are no numbers
VOLUMES = np.array([0.94, 0.97, 1.03, 1.06])  # of the equation of state, over that at rest
SCALE = 10.0  # GPa: eigenvalues far below enter as they are, and far above as logarithms
STEEPEST = 20.0  # slope of the bulk modulus by the pressure; it is 3 to 7 in solids


@dataclass(frozen=True, slots=True)
class ElasticSample:
    """A crystal to be strained.

    Attributes:
        cell: Primitive.
        operations: Its symmetry.
    """

    cell: Cell
    operations: Operations


@dataclass(frozen=True, slots=True)
class Elastic:
    """What is known of a crystal after all calculations.

    Attributes:
        stiffness: At rest.
        equation: Bulk modulus in eV/Å³ and its slope by the pressure, from the equation of state.
        density: At rest, in atomic mass units per Å³.
        n_density: Atoms per Å³ at rest.
        expansion: Logarithm of the volume at rest over the given one.
        distortion: Norm of the strain of the cell without the change of volume.
        energy: Gained by relaxation, in eV per atom.
        followed: Whether the crystal was relaxed and its atoms follow strains.
        at_rest: Whether forces and stresses had vanished.
    """

    stiffness: Stiffness
    equation: tuple[float, float]
    density: float
    n_density: float
    expansion: float
    distortion: float
    energy: float
    followed: bool
    at_rest: bool


@register_encoder("elasticity")
class ElasticityEncoder(PotentialEncoder):
    """Stiffness of a crystal by a potential; there are no atom features.

    Cell and atoms are relaxed, and the stiffness tensor C is that of small strains with the atoms following them, see
    `moe_mat.encoders.physics.stiffness`; C0 is the one with the atoms held. K and G are bulk and shear moduli in GPa
    after Voigt (V), Reuss (R) and Hill (H), of C after eigenvalues below 1 GPa are raised to that; λ are the
    eigenvalues of C in Mandel's notation, which do not depend on the axes. The equation of state is that of Birch and
    Murnaghan, fitted to the pressures at 94, 97, 103 and 106 % of the volume.

    Primitive cells of more than 24 atoms are neither relaxed nor do their atoms follow: C is C0 there, and a flag says
    so. Beyond 48 atoms there is no number but the flags. Crystals that find no rest near by, such as layers that the
    potential does not bind, are taken as they are given.

    Args:
        potential: Name of the potential, see `load_potential`.

    Raises:
        ValueError: When there is no such potential.
    """

    quantities: ClassVar[Mapping[str, Sequence[Quantity]]] = {
        "elasticity": (
            Quantity("computed", "1", "1 up to 48 atoms in the primitive cell, else 0"),
            Quantity("relaxed atoms", "1", "1 where the atoms follow the strain, 0 where they are held"),
            Quantity("at rest", "1", "1 where relaxation ended with forces below 10 meV/Å and stresses below 50 MPa"),
            Quantity("bulk modulus, Voigt", "1", "log10(K_V / GPa)"),
            Quantity("bulk modulus, Reuss", "1", "log10(K_R / GPa)"),
            Quantity("bulk modulus, Hill", "1", "log10((K_V + K_R) / 2 GPa)"),
            Quantity("shear modulus, Voigt", "1", "log10(G_V / GPa)"),
            Quantity("shear modulus, Reuss", "1", "log10(G_R / GPa)"),
            Quantity("shear modulus, Hill", "1", "log10((G_V + G_R) / 2 GPa)"),
            Quantity("Poisson ratio", "1", "(3 K_H - 2 G_H) / (6 K_H + 2 G_H)"),
            Quantity("universal anisotropy", "1", "log10(1 + 5 G_V / G_R + K_V / K_R - 6)"),
            Quantity("stability", "1", "asinh(min λ / 10 GPa)"),
            Quantity("stiffest deformation", "1", "asinh(max λ / 10 GPa)"),
            Quantity("relaxation of the bulk modulus", "1", "ln(K_H(C0) / K_H(C))"),
            Quantity("relaxation of the shear modulus", "1", "ln(G_H(C0) / G_H(C))"),
            Quantity("Poisson ratio, held atoms", "1", "(3 K_H - 2 G_H) / (6 K_H + 2 G_H) of C0"),
            Quantity("bulk modulus, equation of state", "1", "log10(max(K, 1 GPa) / GPa)"),
            Quantity("slope of the bulk modulus", "1", "dK / dp of the equation of state, at most 20 and at least -20"),
            Quantity("Debye temperature", "1", "log10(θ / K), of the sound velocities of K_H and G_H"),
            Quantity("expansion", "1", "ln(V / V_given), V the volume after relaxation"),
            Quantity("distortion", "1", "norm of the relaxation's strain without its trace"),
            Quantity("energy of relaxation", "1", "asinh(energy gained per atom / 10 meV)"),
        )
    }

    def prepare(self, structure: Structure) -> ElasticSample | None:
        """The primitive cell and its symmetry; None where it is too large."""
        primitive = self.primitive(structure)
        if len(primitive) > MOST_ATOMS:
            return None
        return ElasticSample(Cell.of(primitive), operations_of(primitive))

    def calculate(self, samples: Sequence[ElasticSample]) -> list[Elastic]:
        """Stiffness and equation of state of prepared crystals that are not too large."""
        steps = Steps(self._potential.strain_step, self._potential.displacement_step)
        return run_together(self._potential, [elasticity(sample, steps) for sample in samples])

    def compute(self, samples: Sequence[ElasticSample | None]) -> np.ndarray:  # noqa: D102
        results = iter(self.calculate([sample for sample in samples if sample is not None]))
        missing = [0.0, 0.0, 0.0] + [np.nan] * (len(self.quantities["elasticity"]) - 3)
        return np.array([missing if sample is None else elastic_numbers(next(results)) for sample in samples])


def elasticity(sample: ElasticSample, steps: Steps) -> Calculation[Elastic]:
    """All calculations of one crystal."""
    cell, operations = sample.cell, sample.operations
    n_atoms = len(cell.atomic_numbers)
    follow = n_atoms <= MOST_RELAXED
    strain, energy, at_rest = np.zeros((3, 3)), 0.0, False
    if follow:
        relaxed = yield from relax(cell, operations)
        at_rest = relaxed.at_rest
        if at_rest:
            cell, strain, energy = relaxed.cell, relaxed.strain, relaxed.energy
    tensors = yield from stiffness(cell, operations, steps, follow=follow)
    following = np.einsum("aiv,v->ai", tensors.displacements, to_mandel(np.eye(3)))  # under a strain of all lengths
    lengths = VOLUMES ** (1 / 3) - 1
    evaluations = yield [cell.moved(x * following).strained(x * np.eye(3)) for x in [0.0, *lengths]]
    pressures = np.array([-np.trace(e.stress) / 3 for e in evaluations if e.stress is not None])
    masses = element_property("AtomicWeight")[cell.atomic_numbers]
    return Elastic(
        stiffness=tensors,
        equation=equation_of_state(VOLUMES, pressures[1:] - pressures[0]),
        density=float(masses.sum()) / cell.volume,
        n_density=n_atoms / cell.volume,
        expansion=float(np.log(cell.volume / sample.cell.volume)),
        distortion=float(np.linalg.norm(strain - np.trace(strain) / 3 * np.eye(3))),
        energy=energy / n_atoms,
        followed=follow,
        at_rest=at_rest,
    )


def elastic_numbers(found: Elastic) -> list[float]:
    """The numbers of a crystal, in the order of `ElasticityEncoder.quantities`."""
    stiff, held = moduli(found.stiffness.relaxed / GPa), moduli(found.stiffness.clamped / GPa)
    values = np.linalg.eigvalsh(found.stiffness.relaxed / GPa)
    bulk, slope = found.equation
    return [
        1.0,
        float(found.followed),
        float(found.at_rest),
        *np.log10([stiff.K_V, stiff.K_R, stiff.K_H, stiff.G_V, stiff.G_R, stiff.G_H]),
        stiff.poisson_ratio,
        np.log10(1 + stiff.anisotropy),
        np.arcsinh(values[0] / SCALE),
        np.arcsinh(values[-1] / SCALE),
        np.log(held.K_H / stiff.K_H),
        np.log(held.G_H / stiff.G_H),
        held.poisson_ratio,
        np.log10(max(bulk / GPa, FLOOR)),
        float(np.clip(slope, -STEEPEST, STEEPEST)),
        np.log10(debye_temperature(stiff.K_H, stiff.G_H, found.density, found.n_density)),
        found.expansion,
        found.distortion,
        np.arcsinh(found.energy / 0.01),
    ]


def debye_temperature(bulk: float, shear: float, density: float, n_density: float) -> float:
    """Debye temperature in K from the mean velocity of sound (Anderson, J. Phys. Chem. Solids 24, 909, 1963).

    Args:
        bulk: Bulk modulus in GPa.
        shear: Shear modulus in GPa.
        density: In atomic mass units per Å³.
        n_density: Atoms per Å³.
    """
    transverse = np.sqrt(shear / density)
    longitudinal = np.sqrt((bulk + 4 / 3 * shear) / density)
    mean = ((2 / transverse**3 + 1 / longitudinal**3) / 3) ** (-1 / 3) * np.sqrt(1e9 / (atomic_mass / angstrom**3))
    return float(hbar / k * mean * (6 * np.pi**2 * n_density / angstrom**3) ** (1 / 3))
