"""How a crystal's layers are bound: the energy of the stack against the distance between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pymatgen.core import Structure

from moe_mat.encoders.physics.dispersion import dispersion_energy
from moe_mat.encoders.physics.layers import Layers, find_layers
from moe_mat.encoders.physics.potential_encoder import PotentialEncoder
from moe_mat.encoders.physics.quantities import Quantity
from moe_mat.encoders.registry import register_encoder

DISTANCES = np.array([1.6, 2.0, 2.4, 2.8, 3.1, 3.4, 3.8, 4.4, 12.0])  # Å; at the last one, layers are apart
MOST_ATOMS = 100  # in the primitive cell; beyond, there is dispersion alone
SMALL, LARGE = 0.03, 0.1  # eV: energies far below enter as they are, energies far above as logarithms
SMALL_OF_AREA = 0.02  # eV/Å²


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers of a crystal, and the dispersion energies of the stack.

    Attributes:
        layers: Of its primitive cell.
        dispersion: At each distance, in eV per atom ``[n_distances]``.
    """

    layers: Layers
    dispersion: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.layers.layer_of_atom)


@register_encoder("layer_stack")
class LayerStackEncoder(PotentialEncoder):
    """Binding of the layers of a crystal, from a potential and D3; there are no atom features.

    The gaps between all layers are set to nine widths d from 1.6 to 12 Å, and the energy per atom is taken from a
    potential, E(d), and from D3 with Becke-Johnson damping, V(d). Energies are seen from 12 Å, where the layers are
    apart: e(d) = E(12 Å) - E(d), v(d) = V(12 Å) - V(d), b(d) = e(d) + v(d), so that what binds is positive. The best
    distance d* is that where b is largest, by a parabola through the best of the nine and its neighbours. N is the
    number of atoms in a layer's cell and A its area.

    Layers are what remains connected when the widest gap between lattice planes that no bond crosses is opened, see
    `find_layers`. A crystal without such a gap costs nothing, and has no numbers but a flag. In primitive cells of more
    than 100 atoms the potential is left out, and with it all numbers that need it.

    Args:
        potential: Name of the potential, see `load_potential`.

    Raises:
        ValueError: When there is no such potential.
    """

    quantities: ClassVar[Mapping[str, Sequence[Quantity]]] = {
        "layer_stack": (
            Quantity("layered", "1", "1 where a gap between lattice planes is crossed by no bond, else 0"),
            Quantity("binding energy per atom", "1", "asinh(b(d*) / 30 meV)"),
            Quantity("distance", "Å", "d*"),
            Quantity("binding by the potential", "1", "asinh(e(d*) / 30 meV)"),
            Quantity("binding by dispersion", "eV/atom", "v(d*)"),
            Quantity("dispersion at 2.8 Å", "eV/atom", "v(2.8 Å)"),
            Quantity("dispersion at 3.4 Å", "eV/atom", "v(3.4 Å)"),
            Quantity("potential at 1.6 Å", "1", "asinh(e(1.6 Å) / 100 meV)"),
            Quantity("strongest binding by the potential", "1", "asinh(max e(d) / 30 meV)"),
            Quantity("potential at 2.8 Å", "1", "asinh(e(2.8 Å) / 30 meV)"),
            Quantity("binding at 3.4 Å", "1", "asinh(b(3.4 Å) / 30 meV)"),
            Quantity("binding energy per area", "1", "asinh(b(d*) N / A / (20 meV/Å²))"),
            Quantity("atoms per area", "1/Å²", "N / A"),
            Quantity("thickness", "Å", "between the centres of the outermost atoms of a layer"),
        )
    }

    def prepare(self, structure: Structure) -> Stack | None:
        """The layers and their dispersion energies; None where there are no layers."""
        layers = find_layers(self.primitive(structure))
        if layers is None:
            return None
        n_atoms = len(layers.layer_of_atom)
        return Stack(layers, np.array([dispersion_energy(layers.at(d)) for d in DISTANCES]) / n_atoms)

    def compute(self, samples: Sequence[Stack | None]) -> np.ndarray:  # noqa: D102
        small = [stack for stack in samples if stack is not None and stack.n_atoms <= MOST_ATOMS]
        evaluated = iter(self._potential.evaluate([stack.layers.at(d) for stack in small for d in DISTANCES]))
        rows = []
        for stack in samples:
            if stack is None:
                rows.append([0.0] + [np.nan] * (len(self.quantities["layer_stack"]) - 1))
                continue
            energies = np.full(len(DISTANCES), np.nan)
            if stack.n_atoms <= MOST_ATOMS:
                energies = np.array([next(evaluated).energy for _ in DISTANCES]) / stack.n_atoms
            rows.append(stack_numbers(stack, energies))
        return np.array(rows)


def stack_numbers(stack: Stack, energies: np.ndarray) -> list[float]:
    """The numbers of a layered crystal, in the order of `LayerStackEncoder.quantities`.

    Args:
        stack: The crystal.
        energies: By the potential at each distance, in eV per atom ``[n_distances]``; NaN where there is none.
    """
    layers = stack.layers
    e, v = energies[-1] - energies[:-1], stack.dispersion[-1] - stack.dispersion[:-1]
    b = e + v
    density = stack.n_atoms / (layers.n_layers * layers.area)
    at = {distance: i for i, distance in enumerate(DISTANCES.tolist())}
    if np.isnan(e).any():
        best, b_best, e_best, v_best = (np.nan,) * 4
    else:
        best, weights = _top(DISTANCES[:-1], b)
        b_best, e_best, v_best = (float(weights @ values) for values in (b, e, v))
    return [
        1.0,
        np.arcsinh(b_best / SMALL),
        best,
        np.arcsinh(e_best / SMALL),
        v_best,
        v[at[2.8]],
        v[at[3.4]],
        np.arcsinh(e[at[1.6]] / LARGE),
        np.arcsinh(e.max() / SMALL),
        np.arcsinh(e[at[2.8]] / SMALL),
        np.arcsinh(b[at[3.4]] / SMALL),
        np.arcsinh(b_best * density / SMALL_OF_AREA),
        density,
        layers.thickness,
    ]


def _top(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Where a curve is highest, and the weights ``[n]`` of its points that interpolate there.

    Lagrange's parabola through the highest point and its two neighbours; the point itself at either end.

    Args:
        x: Ascending ``[n]``.
        y: ``[n]``.
    """
    k = int(np.argmax(y))
    weights = np.zeros(len(x))
    if k in (0, len(x) - 1):
        weights[k] = 1.0
        return float(x[k]), weights
    three = slice(k - 1, k + 2)
    square, slope, _ = np.polyfit(x[three] - x[k], y[three], 2)
    top = x[k] - slope / (2 * square) if square < 0 else x[k]
    a, b, c = x[three]
    weights[three] = [
        (top - b) * (top - c) / ((a - b) * (a - c)),
        (top - a) * (top - c) / ((b - a) * (b - c)),
        (top - a) * (top - b) / ((c - a) * (c - b)),
    ]
    return float(top), weights
