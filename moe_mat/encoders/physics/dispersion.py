"""Dispersion energies: D3 with Becke-Johnson damping for PBE (Grimme et al., J. Comput. Chem. 32, 1456, 2011)."""

from __future__ import annotations

import numpy as np
from ase.units import Bohr, Hartree

from moe_mat.encoders.physics.potentials import Cell


def dispersion_energy(cell: Cell) -> float:
    """D3's energy of one cell, in eV."""
    from dftd3.interface import DispersionModel, RationalDampingParam

    model = DispersionModel(cell.atomic_numbers, cell.positions / Bohr, cell.lattice / Bohr, np.full(3, True))
    return float(model.get_dispersion(RationalDampingParam(method="pbe"), grad=False)["energy"]) * Hartree
