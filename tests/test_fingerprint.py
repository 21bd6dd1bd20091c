"""Crystals are found again by their fingerprint however they are written, and no others are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from encoder_cases import CRYSTALS
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar
from strategies import ordered_structures, rotated, rotations
from test_encoders import repeated, shifted, shuffled, turned

from moe_mat.crystals.fingerprint import DIGITS, N_NUMBERS, TOLERANCE, fingerprint


def difference(one: Structure, other: Structure) -> float:
    return float(np.abs(fingerprint(one) - fingerprint(other)).max())


def mirrored(structure: Structure) -> Structure:
    return rotated(structure, np.diag([1.0, 1.0, -1.0]))


def written(structure: Structure) -> Structure:
    """As a POSCAR has it, with six decimals."""
    return Structure.from_str(Poscar(structure).get_str(significant_figures=6), fmt="poscar")


def rounded(structure: Structure) -> Structure:
    """Lengths and fractional coordinates with five decimals."""
    return Structure(Lattice(structure.lattice.matrix.round(5)), structure.species, structure.frac_coords.round(5))


@pytest.mark.parametrize("same_crystal", [turned, shifted, shuffled, repeated, mirrored, written, rounded])
@pytest.mark.parametrize("name", CRYSTALS)
def test_the_same_crystal_written_differently(name: str, same_crystal: Callable[[Structure], Structure]) -> None:
    crystal = CRYSTALS[name]
    tolerance = {written: DIGITS, rounded: TOLERANCE}.get(same_crystal, 1e-10)
    assert fingerprint(crystal).shape == (N_NUMBERS,)
    assert difference(same_crystal(crystal), crystal) < tolerance


@given(ordered_structures(), rotations(), st.integers(0, 5))
def test_any_crystal_rotated_repeated_and_shuffled(structure: Structure, rotation: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(2 * len(structure))
    other = rotated(structure * (1, 1, 2), rotation)
    assert difference(Structure.from_sites([other[row] for row in order]), structure) < 1e-9


@pytest.mark.parametrize("name", [name for name, crystal in CRYSTALS.items() if len(crystal) > 1])
def test_shifted_atoms_make_another_crystal(name: str) -> None:
    """To first order, although each site may be a centre of inversion."""
    crystal = CRYSTALS[name].copy()
    crystal.translate_sites([0], [0.01, 0.007, 0.003], frac_coords=False)
    # Atoms 19 Å apart have next to nothing by which a shift shows.
    assert difference(crystal, CRYSTALS[name]) > (TOLERANCE / 10 if name == "isolated atoms" else 5 * TOLERANCE)


def test_decorations_and_stackings_are_other_crystals() -> None:
    rock = CRYSTALS["NaCl rocksalt"]
    order = np.argsort(rock.frac_coords[:, 2])
    layered = Structure(rock.lattice, ["Na"] * 4 + ["Cl"] * 4, rock.frac_coords[order])
    assert difference(layered, rock) > 100 * TOLERANCE
    strained = rock.copy().apply_strain(0.001)
    assert difference(strained, rock) > TOLERANCE


def close_packed(stacking: str) -> Structure:
    """Close-packed layers of one element, named as usual."""
    place = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    positions = [(*place[layer], height / len(stacking)) for height, layer in enumerate(stacking)]
    return Structure(Lattice.hexagonal(3, 3 * np.sqrt(2 / 3) * len(stacking)), ["Co"] * len(stacking), positions)


def test_polytypes_are_told_apart() -> None:
    stackings = ["AB", "ABC", "ABAC", "ABCB", "ABCACB", "ABABAC", "ABCABCACB"]
    crystals = [close_packed(stacking) for stacking in stackings]
    assert difference(crystals[2], crystals[3]) < 1e-10  # one polytype, begun at another layer
    others = [crystals[i] for i in (0, 1, 2, 4, 5, 6)]
    found = [difference(a, b) for i, a in enumerate(others) for b in others[:i]]
    assert min(found) > 5 * TOLERANCE
