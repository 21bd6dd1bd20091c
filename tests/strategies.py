"""Crystals for tests: hypothesis strategies that draw them, and a dozen real ones by name."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

ELEMENTS = (
    "H",
    "Li",
    "C",
    "O",
    "F",
    "Na",
    "Mg",
    "Al",
    "Si",
    "S",
    "Cl",
    "K",
    "Ca",
    "Ti",
    "Fe",
    "Zn",
    "Ga",
    "Mo",
    "Ba",
    "Pb",
)


@st.composite
def lattices(draw: st.DrawFn, *, min_length: float = 3.5, max_length: float = 9.0) -> Lattice:
    """Cells of any symmetry from triclinic to cubic, never flat: angles stay between 70 and 110 degrees."""
    length = st.floats(min_length, max_length)
    angle = st.one_of(st.just(90.0), st.floats(70, 110))
    a, b, c = draw(length), draw(length), draw(length)
    if draw(st.booleans()):  # equal lengths make equal distances, which is where neighbour rules go wrong
        b = c = a
    return Lattice.from_parameters(a, b, c, draw(angle), draw(angle), draw(angle))


@st.composite
def ordered_structures(
    draw: st.DrawFn, *, max_sites: int = 8, elements: tuple[str, ...] = ELEMENTS, **lattice_options: float
) -> Structure:
    """Ordered crystals of 1 to 8 sites, no two of them closer than 0.7 Å.

    Each site sits near a corner of its own octant of the cell, off it by up to a tenth of the cell.
    """
    lattice = draw(lattices(**lattice_options))
    octants = draw(st.lists(st.integers(0, 7), min_size=1, max_size=min(max_sites, 8), unique=True))
    offset = st.one_of(st.just(0.0), st.floats(-0.1, 0.1, allow_subnormal=False))
    positions = [[(octant >> axis & 1) / 2 + draw(offset) for axis in range(3)] for octant in octants]
    species = [draw(st.sampled_from(elements)) for _ in octants]
    return Structure(lattice, species, positions)


@st.composite
def rotations(draw: st.DrawFn) -> NDArray[np.float64]:
    """Proper rotations [3, 3]."""
    matrix, _ = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def rotated(structure: Structure, rotation: NDArray[np.float64]) -> Structure:
    """The same crystal in another orientation."""
    return Structure(structure.lattice.matrix @ rotation.T, structure.species, structure.frac_coords)


def _face_centred(length: float, sites: dict[str, list[list[float]]]) -> Structure:
    shifts = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    species = [symbol for symbol, positions in sites.items() for _ in range(4 * len(positions))]
    positions = np.concatenate([shifts + position for group in sites.values() for position in group])
    return Structure(Lattice.cubic(length), species, positions, to_unit_cell=True)


def reference_crystals() -> dict[str, Structure]:
    """Real crystals, conventional cells unless named otherwise, with the traps that they are known for."""
    cubic, hexagonal = Lattice.cubic, Lattice.hexagonal
    third, u, z = 1 / 3, 0.3053, 0.129  # the free parameters are those of rutile's oxygen and of molybdenite's sulfur
    return {
        "CaTiO3 perovskite": Structure(  # species tie at the twelfth neighbour
            cubic(3.905),
            ["Ca", "Ti", "O", "O", "O"],
            [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        ),
        "isolated Ar": Structure(cubic(20), ["Ar"], [[0, 0, 0]]),  # no neighbour within any cutoff
        "NaCl rocksalt": _face_centred(5.640, {"Na": [[0, 0, 0]], "Cl": [[0.5, 0.5, 0.5]]}),
        "Mg hcp": Structure(
            hexagonal(3.209, 5.211), ["Mg", "Mg"], [[third, 2 * third, 0.25], [2 * third, third, 0.75]]
        ),
        "MoS2 layered": Structure(
            hexagonal(3.160, 12.294),
            ["Mo", "Mo", "S", "S", "S", "S"],
            [
                *([third, 2 * third, 0.25], [2 * third, third, 0.75]),
                *([2 * third, third, 0.25 - z], [2 * third, third, 0.25 + z]),
                *([third, 2 * third, 0.75 - z], [third, 2 * third, 0.75 + z]),
            ],
        ),
        "graphene in vacuum": Structure(
            hexagonal(2.461, 18), ["C", "C"], [[third, 2 * third, 0.5], [2 * third, third, 0.5]]
        ),
        "Fe bcc primitive": Structure(  # one site: every neighbour is an image of itself
            1.433 * (np.ones((3, 3)) - 2 * np.eye(3)), ["Fe"], [[0, 0, 0]]
        ),
        "Al fcc": _face_centred(4.050, {"Al": [[0, 0, 0]]}),
        "Si diamond": _face_centred(5.431, {"Si": [[0, 0, 0], [0.25] * 3]}),
        "ZnS zincblende": _face_centred(5.409, {"Zn": [[0, 0, 0]], "S": [[0.25] * 3]}),
        "CaF2 fluorite": _face_centred(5.463, {"Ca": [[0, 0, 0]], "F": [[0.25] * 3, [0.75] * 3]}),
        "CsCl": Structure(cubic(4.123), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]),
        "TiO2 rutile": Structure(
            Lattice.tetragonal(4.594, 2.959),
            ["Ti", "Ti", "O", "O", "O", "O"],
            [
                *([0, 0, 0], [0.5] * 3),
                *([u, u, 0], [1 - u, 1 - u, 0]),
                *([0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]),
            ],
        ),
    }
