"""Elastic constants of real crystals by the potentials, against a slow path that shares nothing with them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import GPa
from pymatgen.core import Lattice, Structure

from benchmarks.measurements.elasticity import averages, calculator_of, slow_stiffness, to_voigt
from benchmarks.measurements.known_crystals import KNOWN
from moe_mat.encoders import ElasticityEncoder

NAMES = [quantity.name for quantity in ElasticityEncoder.quantities["elasticity"]]


@pytest.mark.parametrize("name", ["Si", "ZnO wurtzite"])
def test_sevennet_stiffness_is_that_of_a_slow_path(name: str) -> None:
    encoder = ElasticityEncoder(potential="7net-0")
    sample = encoder.prepare(KNOWN[name].structure)
    assert sample is not None
    (found,) = encoder.calculate([sample])
    slow = slow_stiffness(KNOWN[name], calculator_of("7net-0"))
    assert averages(to_voigt(found.stiffness.relaxed / GPa)) == pytest.approx(averages(slow), rel=0.02)


def test_experiments_are_averaged_as_in_handbooks() -> None:
    assert averages(KNOWN["Cu"].stiffness) == pytest.approx((137.1, 47.3), abs=0.1)
    assert averages(KNOWN["ZnO wurtzite"].stiffness) == pytest.approx((143.6, 45.6), abs=0.1)


def test_large_cells_are_held_and_larger_ones_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ElasticityEncoder(potential="chgnet")
    structure = KNOWN["TiO2 rutile"].structure

    def numbers() -> dict[str, float]:
        return dict(zip(NAMES, encoder.compute([encoder.prepare(structure)])[0].tolist(), strict=True))

    following = numbers()
    assert following["relaxed atoms"] == following["at rest"] == 1
    assert following["relaxation of the shear modulus"] > 0
    monkeypatch.setattr("moe_mat.encoders.physics.elasticity.MOST_RELAXED", 5)
    held = numbers()
    assert held["relaxed atoms"] == held["expansion"] == held["relaxation of the shear modulus"] == 0
    assert held["computed"] == 1
    monkeypatch.setattr("moe_mat.encoders.physics.elasticity.MOST_ATOMS", 5)
    left_out = numbers()
    assert left_out["computed"] == 0
    assert np.isnan(left_out["Poisson ratio"])


def test_a_crystal_without_bonds_has_finite_numbers() -> None:
    encoder = ElasticityEncoder(potential="chgnet")
    argon = Structure(Lattice.cubic(20), ["Ar"], [[0, 0, 0]])
    assert np.isfinite(encoder.compute([encoder.prepare(argon)])).all()
