"""Energies, forces and stresses of the potentials against the calculators of the packages they come from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from encoder_cases import CRYSTALS
from pymatgen.core import Structure

from moe_mat.encoders.physics.load_potential import load_potential
from moe_mat.encoders.physics.potentials import Cell, Potential

NAMES = ("CaTiO3 perovskite", "MoS2 layered", "TiO2 rutile", "Fe bcc primitive", "Si diamond")


def distorted(structure: Structure) -> Structure:
    """Off its symmetric positions, so that no force and no stress is zero."""
    random = np.random.default_rng(len(structure))
    moved = structure.copy().apply_strain(0.01, inplace=False)
    moved = Structure(
        moved.lattice.matrix @ (np.eye(3) + 0.02 * random.normal(size=(3, 3))), moved.species, moved.frac_coords
    )
    for i in range(len(moved)):
        moved.translate_sites(i, 0.05 * random.normal(size=3), frac_coords=False)
    return moved


STRUCTURES = [distorted(CRYSTALS[name]) for name in NAMES]


def sevennet_calculator(checkpoint: str) -> Any:
    from sevenn.calculator import SevenNetCalculator

    modal = "R2SCAN" if checkpoint == "7net-mf-0" else None
    return SevenNetCalculator(checkpoint, device="cpu", modal=modal)


def chgnet_calculator(model: str) -> Any:
    from chgnet.model import CHGNet, CHGNetCalculator

    return CHGNetCalculator(CHGNet.load(model_name=model, verbose=False), use_device="cpu")


CALCULATORS: dict[str, Callable[[], Any]] = {
    "7net-0": lambda: sevennet_calculator("7net-0"),
    "7net-l3i5": lambda: sevennet_calculator("7net-l3i5"),
    "7net-mf-0": lambda: sevennet_calculator("7net-mf-0"),
    "chgnet": lambda: chgnet_calculator("0.3.0"),
    "chgnet-r2scan": lambda: chgnet_calculator("r2scan"),
}


def potential(name: str) -> Potential[Any]:
    if name.startswith("7net") and importlib.util.find_spec("sevenn") is None:
        pytest.skip("the optional package sevenn is not installed")
    return load_potential(name)


@pytest.mark.parametrize("name", list(CALCULATORS))
def test_potentials_are_those_of_their_calculators(name: str) -> None:
    found = potential(name).evaluate([Cell.of(s) for s in STRUCTURES], forces=True, stress=True)
    calculator = CALCULATORS[name]()
    for structure, evaluation in zip(STRUCTURES, found, strict=True):
        atoms = structure.to_ase_atoms()
        atoms.calc = calculator
        assert evaluation.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
        np.testing.assert_allclose(evaluation.forces, atoms.get_forces(), atol=1e-4)
        np.testing.assert_allclose(evaluation.stress, atoms.get_stress(voigt=False), atol=1e-4)


@pytest.mark.parametrize("name", ["7net-0", "chgnet"])
def test_forces_and_stress_are_slopes_of_the_energy(name: str) -> None:
    cell = Cell.of(STRUCTURES[0])
    evaluation = potential(name).evaluate([cell], forces=True, stress=True)[0]
    assert evaluation.forces is not None
    assert evaluation.stress is not None
    random = np.random.default_rng(0)
    step, strain = random.normal(size=cell.positions.shape), random.normal(size=(3, 3))
    strain = (strain + strain.T) / 2
    h = 2e-3
    cells = [cell.moved(h * step), cell.moved(-h * step), cell.strained(h * strain), cell.strained(-h * strain)]
    energies = [e.energy for e in potential(name).evaluate(cells)]
    assert (energies[1] - energies[0]) / (2 * h) == pytest.approx((evaluation.forces * step).sum(), rel=0.01)
    slope = (evaluation.stress * strain).sum() * cell.volume
    assert (energies[2] - energies[3]) / (2 * h) == pytest.approx(slope, rel=0.01)


@pytest.mark.parametrize("name", ["7net-0", "chgnet"])
def test_batches_of_any_size_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, loaded = [Cell.of(s) for s in STRUCTURES], potential(name)
    with torch.inference_mode():  # as experts are run
        together = loaded.evaluate(cells, forces=True)
    monkeypatch.setattr("moe_mat.encoders.physics.potentials.MEMORY_AT_ONCE", 0)
    alone = loaded.evaluate(cells, forces=True)
    for one, other in zip(together, alone, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=2e-5)
        np.testing.assert_allclose(one.forces, other.forces, atol=5e-5)  # eV/Å, in single precision
        assert one.stress is None


@pytest.mark.parametrize("name", ["7net-0", "chgnet"])
def test_isolated_atoms_feel_no_force(name: str) -> None:
    isolated = Cell.of(CRYSTALS["isolated atoms"])
    evaluation = potential(name).evaluate([isolated], forces=True, stress=True)[0]
    assert np.isfinite(evaluation.energy)
    assert not np.any(evaluation.forces)
    assert not np.any(evaluation.stress)


def test_potentials_have_names() -> None:
    with pytest.raises(ValueError, match=r"7net-0, 7net-l3i5, 7net-mf-0, chgnet, chgnet-r2scan"):
        load_potential("lennard-jones")


def test_two_threads_give_the_same_forces_every_time() -> None:
    own = potential("7net-0")
    cells = [Cell.of(structure) for structure in STRUCTURES] * 4
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        forces = [np.concatenate([e.forces for e in own.evaluate(cells, forces=True)]) for _ in range(4)]  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(again, forces[0]) for again in forces[1:])
    assert not torch.are_deterministic_algorithms_enabled()
