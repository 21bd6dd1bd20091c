"""The numbers of the foundation encoders against those of the packages that their weights come from."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from encoder_cases import CASES, CRYSTALS, load, pooled
from pymatgen.core import Lattice, Structure

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.encoders import get_encoder
from moe_mat.encoders.chgnet_graphs import undirected_bonds


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matgl", None)
    with pytest.raises(ImportError, match=r"pip install moe_mat\[matgl\]"):
        get_encoder("matgl")(model="any")


# CHGNet


def dense_crystals() -> list[Structure]:
    """CHGNet refuses isolated atoms, so its own numbers exist for the others only."""
    return [structure for name, structure in CRYSTALS.items() if "isolated" not in name]


def test_chgnet_gives_the_numbers_of_the_package() -> None:
    from chgnet.model import CHGNet

    encoder, structures = load("chgnet"), dense_crystals()
    features = encoder(encoder.collate([encoder.prepare(structure) for structure in structures]))
    reference = CHGNet.load(use_device="cpu", verbose=False).predict_structure(
        structures, task="e", return_atom_feas=True, return_crystal_feas=True
    )
    energies = np.array([prediction["e"].item() for prediction in reference])
    np.testing.assert_allclose(features.crystals["energy"][:, 0], energies, atol=2e-5)
    sums = [prediction["crystal_fea"] / len(s) for prediction, s in zip(reference, structures, strict=True)]
    np.testing.assert_allclose(features.crystals["crystal"], np.stack(sums), atol=1e-4)
    conv3 = np.concatenate([prediction["atom_fea"] for prediction in reference])
    np.testing.assert_allclose(features.nodes["conv3"], conv3, atol=5e-4)


def test_chgnet_refuses_elements_it_never_saw() -> None:
    with pytest.raises(UnsupportedCrystalError, match="Po"):
        load("chgnet").prepare(Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]))


def test_chgnet_is_built_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    get_encoder("chgnet")()
    assert capsys.readouterr() == ("", "")


def test_chgnet_knows_its_models() -> None:
    with pytest.raises(ValueError, match=r"0\.3\.0, r2scan"):
        get_encoder("chgnet")(model="0.1")


def test_undirected_bonds_pair_both_ends() -> None:
    # Two bonds between atoms 0 and 1, in different cells, and one of atom 0 to its own image.
    centers, neighbors = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 0, 0])
    images = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [-1, 0, 0], [0, 0, 0]])
    one_of_two, bond = undirected_bonds(centers, neighbors, images)
    assert len(one_of_two) == 3
    assert bond[0] == bond[5] != bond[1] == bond[4] != bond[2] == bond[3]
    assert (bond[one_of_two] == np.arange(3)).all()


# SevenNet and MatGL against their own ASE calculators


def energies_per_atom(calculator: Any, structures: list[Structure]) -> np.ndarray:
    energies = []
    for structure in structures:
        atoms = structure.to_ase_atoms()
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
    return np.array(energies)


@pytest.mark.parametrize(
    ("name", "checkpoint", "modal"),
    [
        ("sevennet", "7net-0", None),
        ("sevennet-l3i5", "7net-l3i5", None),
        ("sevennet-mf-0", "7net-mf-0", "R2SCAN"),
    ],
)
def test_sevennet_energy_is_that_of_its_calculator(name: str, checkpoint: str, modal: str | None) -> None:
    encoder = load(name)
    from sevenn.calculator import SevenNetCalculator

    structures = [CRYSTALS[name] for name in ("CaTiO3 perovskite", "MoS2 layered", "isolated atoms")]
    expected = energies_per_atom(SevenNetCalculator(checkpoint, device="cpu", modal=modal), structures)
    np.testing.assert_allclose(pooled(encoder, structures)["energy"][:, 0], expected, atol=2e-5)


def test_sevennet_takes_no_checkpoint_but_those_of_the_wheel() -> None:
    with pytest.raises(ValueError, match=r"7net-0, 7net-l3i5, 7net-mf-0, not 'my\.pth'"):
        get_encoder("sevennet")(checkpoint="my.pth")


@pytest.mark.parametrize("model", ["tensornet", "m3gnet", "qet"])
def test_matgl_energy_is_that_of_its_calculator(model: str) -> None:
    encoder = load(model)
    import matgl
    from matgl.ext.ase import PESCalculator

    structures = [CRYSTALS[name] for name in ("CaTiO3 perovskite", "MoS2 layered", "NaCl rocksalt")]
    expected = energies_per_atom(PESCalculator(matgl.load_model(CASES[model].settings["model"])), structures)
    np.testing.assert_allclose(pooled(encoder, structures)["energy"][:, 0], expected, atol=2e-5)
