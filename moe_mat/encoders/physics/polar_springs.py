"""A crystal of charged atoms on springs: how it polarises in a field and under strain.

The springs are those of `moe_mat.encoders.descriptors.springs`, in 1/Å³. With K their force matrix at the zone centre
``[3 n, 3 n]``, Z the charges ``[3 n, 3]`` and F the forces on the atoms under a strain ``[3 n, 6]``, the ions answer a
field by ``chi = Z' K^-1 Z / V`` and a strain by ``e = Z' K^-1 F / V`` (Born and Huang, Dynamical Theory of Crystal
Lattices, 1954). K is held by a weak spring at each atom, so that what costs no energy does not go to infinity. The unit
of the springs cancels in e, and not in chi, which is meant to be compared between crystals only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import spglib
from pymatgen.core import Structure

from moe_mat.encoders.descriptors.composition import check_in_table, element_property
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import Shells, neighbour_shells
from moe_mat.encoders.descriptors.springs import (
    MOST_ATOMS,
    REGULARISATION,
    SpringNetwork,
    force_matrices,
    mandel,
    spring_network,
)
from moe_mat.encoders.descriptors.symmetry import CENTROSYMMETRIC
from moe_mat.encoders.physics.base import PhysicsEncoder
from moe_mat.encoders.physics.polarisabilities import polarisabilities
from moe_mat.encoders.physics.quantities import Quantity
from moe_mat.encoders.physics.susceptibility import QUANTITIES as ELECTRONIC
from moe_mat.encoders.physics.susceptibility import electronic_response, polarity
from moe_mat.encoders.registry import register_encoder

FIELD_FLOOR = 1e-6
STRAIN_FLOOR = 1e-5
CHARGE_FLOOR = 1e-3
TOLERANCE = 0.01  # Å: a polar distortion of a tenth of an Å, as in titanates, must not be symmetrised away
# Mandel's notation: pair of axes and factor of each of the six.
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
FACTORS = np.array([1, 1, 1, 2**0.5, 2**0.5, 2**0.5])

CHARGES = {"Pauling": "q_P", "valence": "q_v", "polarisable": "q_a"}


def _quantities(rule: str, q: str) -> tuple[Quantity, ...]:
    return (
        Quantity(f"ionic response, {rule}", "1", f"log10(trace of chi({q}) + 1e-6)"),
        Quantity(f"largest ionic response, {rule}", "1", f"log10(largest eigenvalue of chi({q}) + 1e-6)"),
        Quantity(f"smallest ionic response, {rule}", "1", f"log10(smallest eigenvalue of chi({q}) + 1e-6)"),
        Quantity(f"piezoelectric response, {rule}", "log10(e/Å²)", f"log10(Frobenius norm of e({q}) + 1e-5)"),
        Quantity(f"largest piezoelectric response, {rule}", "log10(e/Å²)", f"log10(spectral norm of e({q}) + 1e-5)"),
        Quantity(f"longitudinal piezoelectric response, {rule}", "log10(e/Å²)", f"log10(norm of S e({q}) + 1e-5)"),
        Quantity(f"charge, {rule}", "log10(e)", f"log10(root mean square of {q} over the atoms + 0.001)"),
    )


POLAR = tuple(quantity for rule, q in CHARGES.items() for quantity in _quantities(rule, q))
ONE_BY_ONE = Quantity("atoms one by one", "1", "1 where each atom moves while all others rest, else 0")


@register_encoder("polar_springs")
class PolarSpringsEncoder(PhysicsEncoder):
    """Response of ions on springs, of atoms and of bonds, on the primitive cell; there are no atom features.

    The charge of an atom is a sum over its bonds, by three rules. w is the weight of a bond, X the electronegativity of
    either end, s = sign(X_j - X_i) (1 - exp(-(X_j - X_i)² / 4)) Pauling's ionic share, and v the number of empty p
    states of the anion (at least 1) over the anion's sum of w. q_P sums w s, q_v sums w s v, and q_a is q_P times the
    root of the polarisability in Å³, less the mean over the atoms.

    chi and e are those of this file, e with the symmetry of the point group (spglib, within 0.01 Å), exactly zero with
    a centre of inversion and in the group 432; S makes it symmetric in all three indices. Beyond 100 atoms in the
    primitive cell each moves while all others rest.
    """

    quantities: ClassVar[Mapping[str, Sequence[Quantity]]] = {"polar_springs": (*ELECTRONIC, *POLAR, ONE_BY_ONE)}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return self.name

    def prepare(self, structure: Structure) -> np.ndarray:  # noqa: D102
        check_in_table(structure)
        primitive = primitive_cell(structure)
        numbers = polar_numbers(neighbour_shells(primitive), piezoelectric_projector(primitive))
        return np.array([numbers[quantity.name] for quantity in self.quantities["polar_springs"]])

    def compute(self, samples: Sequence[np.ndarray]) -> np.ndarray:  # noqa: D102
        return np.stack(samples)


def polar_numbers(shells: Shells, projector: np.ndarray) -> dict[str, float]:
    """All numbers of the encoder by name.

    Args:
        shells: Of the primitive cell.
        projector: Onto the third-rank tensors that its symmetry allows ``[27, 27]``.
    """
    springs = spring_network(shells)
    charges = bond_charges(shells)
    one_by_one = shells.n_atoms > MOST_ATOMS
    numbers = electronic_response(shells, charges["valence"])
    responses = ionic_responses(springs, charges, one_by_one=one_by_one)
    for rule, (field, strain) in responses.items():
        tensor = (projector @ third_rank(strain).ravel()).reshape(3, 3, 3)
        numbers |= _numbers_of(rule, field, tensor, charges[rule])
    return numbers | {ONE_BY_ONE.name: float(one_by_one)}


def bond_charges(shells: Shells) -> dict[str, np.ndarray]:
    """Charges of the atoms by rule, in e ``[n_atoms]``: what a bond gives to one it takes from another.

    So they sum to zero. An atom without an electronegativity, such as argon, has none.
    """
    i, j, weights = shells.i, shells.j, (shells.weights + shells.weights_back) / 2
    difference = polarity(shells)
    given = np.sign(difference) * (1 - np.exp(-(difference**2) / 4))
    empty = np.maximum(element_property("NpUnfilled")[shells.atomic_numbers], 1)
    per_bond = empty / np.maximum(shells.atom_sum(weights), np.finfo(float).tiny)
    pauling = shells.atom_sum(weights * given)
    dressed = pauling * np.sqrt(polarisabilities()[shells.atomic_numbers])
    return {
        "Pauling": pauling,
        "valence": shells.atom_sum(weights * given * per_bond[np.where(difference > 0, j, i)]),
        "polarisable": dressed - dressed.mean(),
    }


def ionic_responses(
    springs: SpringNetwork, charges: dict[str, np.ndarray], *, one_by_one: bool
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``chi`` ``[3, 3]`` and ``e`` ``[3, 6]`` (Mandel's notation) by rule, zero where there are no springs.

    Args:
        springs: Of the primitive cell.
        charges: Of the atoms by rule ``[n_atoms]``.
        one_by_one: Whether each atom moves while all others rest.
    """
    n = len(springs.masses)
    if not len(springs.i):
        return {rule: (np.zeros((3, 3)), np.zeros((3, 6))) for rule in charges}
    forces = np.zeros((n, 3, 6))
    tension = (springs.constants * springs.lengths)[:, None] * springs.directions
    np.add.at(forces, springs.i, tension[:, :, None] * mandel(springs.directions)[:, None, :])
    of_fields = [np.einsum("a,bc->abc", q, np.eye(3)) for q in charges.values()]
    loads = np.concatenate([forces, *of_fields], axis=2)
    moved = _solver(springs, one_by_one=one_by_one)(loads)
    by_strain, by_fields = moved[:, :, :6], np.split(moved[:, :, 6:], len(charges), axis=2)
    return {
        rule: (
            np.einsum("a,abc->bc", q, by_field) / springs.volume,
            np.einsum("a,abc->bc", q, by_strain) / springs.volume,
        )
        for (rule, q), by_field in zip(charges.items(), by_fields, strict=True)
    }


def _solver(springs: SpringNetwork, *, one_by_one: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Displacements ``[n_atoms, 3, m]`` under forces of the same shape."""
    n = len(springs.masses)
    hold = np.eye(3) * REGULARISATION * springs.constants.sum() / (3 * n)
    if one_by_one:
        blocks = np.zeros((n, 3, 3))
        outer = springs.directions[:, :, None] * springs.directions[:, None, :]
        np.add.at(blocks, springs.i, springs.constants[:, None, None] * outer)
        return lambda loads: np.linalg.solve(blocks + hold, loads)
    held = force_matrices(springs)[0] + np.kron(np.eye(n), hold)
    return lambda loads: np.linalg.solve(held, loads.reshape(3 * n, -1)).reshape(loads.shape)


def piezoelectric_projector(primitive: Structure) -> np.ndarray:
    """Mean of the point group's operations on third-rank tensors ``[27, 27]``; exactly zero where none is allowed."""
    lattice = primitive.lattice.matrix
    cell: Any = (lattice, primitive.frac_coords, primitive.atomic_numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=TOLERANCE)
    except Exception:  # as in find_symmetry: the releases of spglib differ in what they raise
        found = None
    if found is None:
        return np.eye(27)
    if found.pointgroup.strip() in CENTROSYMMETRIC | {"432"}:
        return np.zeros((27, 27))
    rotations = lattice.T @ found.rotations @ np.linalg.inv(lattice.T)
    left, _, right = np.linalg.svd(rotations)  # a cell that is symmetric only within the tolerance strains them
    rotations = left @ right
    return np.einsum("nai,nbj,nck->abcijk", rotations, rotations, rotations).reshape(27, 27) / len(rotations)


def third_rank(strain_response: np.ndarray) -> np.ndarray:
    """``[3, 6]`` in Mandel's notation as ``[3, 3, 3]``, symmetric in the last two."""
    tensor = np.zeros((3, 3, 3))
    for (a, b), values in zip(PAIRS, (strain_response / FACTORS).T, strict=True):
        tensor[:, a, b] = tensor[:, b, a] = values
    return tensor


def _numbers_of(rule: str, field: np.ndarray, tensor: np.ndarray, charges: np.ndarray) -> dict[str, float]:
    def log(value: float, floor: float) -> float:
        return float(np.log10(max(value, 0.0) + floor))

    smallest, _, largest = np.linalg.eigvalsh((field + field.T) / 2)
    longitudinal = (tensor + tensor.transpose(1, 2, 0) + tensor.transpose(2, 0, 1)) / 3
    return {
        f"ionic response, {rule}": log(np.trace(field), FIELD_FLOOR),
        f"largest ionic response, {rule}": log(largest, FIELD_FLOOR),
        f"smallest ionic response, {rule}": log(smallest, FIELD_FLOOR),
        f"piezoelectric response, {rule}": log(float(np.linalg.norm(tensor)), STRAIN_FLOOR),
        f"largest piezoelectric response, {rule}": log(float(np.linalg.norm(tensor.reshape(3, 9), 2)), STRAIN_FLOOR),
        f"longitudinal piezoelectric response, {rule}": log(float(np.linalg.norm(longitudinal)), STRAIN_FLOOR),
        f"charge, {rule}": log(float(np.sqrt((charges**2).mean())), CHARGE_FLOOR),
    }
