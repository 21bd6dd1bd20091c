"""What every encoder promises, and each one's numbers against those of the package that its weights come from."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals, rotated
from torch import Tensor

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.encoders import Encoder, get_encoder
from moe_mat.encoders.base import pool
from moe_mat.encoders.chgnet import undirected_bonds
from moe_mat.encoders.descriptors.composition import magpie_statistics
from moe_mat.encoders.descriptors.structure_features import structure_features
from moe_mat.graphs.radius_graph import pairs_of_bonds

CRYSTALS = reference_crystals() | {
    "isolated atoms": Structure(Lattice.cubic(22), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
}
WEIGHTS = Path(os.environ.get("MOE_MAT_DATA", "shared/data")).parent / "weights" / "matgl"


@dataclass(frozen=True)
class Case:
    """One encoder under test; ``tolerance`` is relative to the largest value of a layer over all crystals."""

    encoder: str
    settings: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5
    package: str | None = None
    frozen: bool = True

    def skip_if_missing(self) -> None:
        if self.package and importlib.util.find_spec(self.package) is None:
            pytest.skip(f"the optional package {self.package} is not installed")
        folder = self.settings.get("model", "")
        if self.encoder == "matgl" and not Path(folder).is_dir():
            pytest.skip(f"the MatGL weights {folder} are not there")


def matgl_case(folder: str) -> Case:
    return Case("matgl", {"model": str(WEIGHTS / folder)}, package="matgl")


CASES = {
    "cgcnn": Case("cgcnn", {"ties": "canonical"}, frozen=False),
    "chgnet": Case("chgnet"),
    "chgnet-r2scan": Case("chgnet", {"model": "r2scan"}),
    "sevennet": Case("sevennet", package="sevenn"),
    "tensornet": matgl_case("TensorNet-MatPES-PBE-v2025.1-PES"),
    "m3gnet": matgl_case("M3GNet-MatPES-PBE-v2025.1-PES"),
    "qet": matgl_case("QET-MatQ-PES"),
    "descriptors": Case("descriptors", tolerance=1e-6),
    "local_environment": Case("local_environment", tolerance=1e-6),
}


@cache
def load(name: str) -> Encoder:
    CASES[name].skip_if_missing()
    torch.manual_seed(0)
    return get_encoder(CASES[name].encoder)(**CASES[name].settings).eval()


@cache
def reference(name: str) -> dict[str, Tensor]:
    return pooled(load(name), list(CRYSTALS.values()))


@pytest.fixture(scope="module", params=list(CASES))
def name(request: pytest.FixtureRequest) -> str:
    CASES[request.param].skip_if_missing()
    return request.param


def pooled(encoder: Encoder, structures: list[Structure]) -> dict[str, Tensor]:
    """Every layer of a batch of crystals, atoms pooled by mean and spread."""
    with torch.no_grad():
        features = encoder(encoder.collate([encoder.prepare(structure) for structure in structures]))
    index, n = features.crystal_of_node, features.n_crystals
    atoms = {layer: pool(x, index, n, statistics=["mean", "std"]) for layer, x in features.nodes.items()}
    return atoms | features.crystals


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for layer, values in expected.items():
        scale = values.abs().max().clamp(min=1)
        worst = ((found[layer] - values).abs() / scale).amax(dim=1)
        culprits = [f"{name}: {w:.1e}" for name, w in zip(CRYSTALS, worst.tolist(), strict=False) if w > tolerance]
        assert not culprits, f"layer {layer}: {culprits}"


def turned(structure: Structure) -> Structure:
    matrix, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return rotated(structure, matrix * np.sign(np.linalg.det(matrix)))


def shifted(structure: Structure) -> Structure:
    """Every atom by the same vector, some of them out of the cell."""
    positions = structure.frac_coords + np.array([0.37, -1.21, 0.553])
    return Structure(structure.lattice, structure.species, positions)


def shuffled(structure: Structure) -> Structure:
    order = np.random.default_rng(1).permutation(len(structure))
    return Structure.from_sites([structure[i] for i in order])


def repeated(structure: Structure) -> Structure:
    return structure * [[2, 0, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("same_crystal", [turned, shifted, shuffled, repeated])
def test_the_same_crystal_written_differently(name: str, same_crystal: Callable[[Structure], Structure]) -> None:
    found = pooled(load(name), [same_crystal(structure) for structure in CRYSTALS.values()])
    assert_close(found, reference(name), CASES[name].tolerance)


def test_layers_are_as_announced_and_finite(name: str) -> None:
    encoder = load(name)
    features = encoder(encoder.collate([encoder.prepare(structure) for structure in CRYSTALS.values()]))
    assert {layer: values.shape[1] for layer, values in features.nodes.items()} == encoder.node_layers
    assert {layer: values.shape[1] for layer, values in features.crystals.items()} == encoder.crystal_layers
    assert features.n_crystals == len(CRYSTALS)
    for values in (*features.nodes.values(), *features.crystals.values()):
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()


def test_different_crystals_differ(name: str) -> None:
    encoder = load(name)
    diamond = CRYSTALS["Si diamond"]
    stretched = diamond.copy()
    stretched.scale_lattice(diamond.volume * 1.1)
    layers = pooled(encoder, [diamond, stretched, CRYSTALS["ZnS zincblende"]])
    together = torch.cat(list(layers.values()), dim=1)
    assert (together[0] - together[1]).abs().max() > 0.01
    assert (together[0] - together[2]).abs().max() > 0.01


def test_batch_equals_single_and_repeats_itself(name: str) -> None:
    encoder, batch = load(name), reference(name)
    assert all(torch.equal(values, batch[layer]) for layer, values in pooled(encoder, list(CRYSTALS.values())).items())
    singles = [pooled(encoder, [structure]) for structure in CRYSTALS.values()]
    one_by_one = {layer: torch.cat([single[layer] for single in singles]) for layer in batch}
    assert_close(one_by_one, batch, CASES[name].tolerance)


def test_an_unknown_element_is_named(name: str) -> None:
    encoder = load(name)
    crystal = Structure(Lattice.cubic(4.1), ["Cs", "Og"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(UnsupportedCrystalError, match=r"Og \(site 1\)"):
        encoder.prepare(crystal)


def test_foundation_encoders_build_no_autograd_graph(name: str) -> None:
    if not CASES[name].frozen:
        pytest.skip("this encoder can be trained")
    encoder = load(name)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    features = encoder(encoder.collate([encoder.prepare(CRYSTALS["TiO2 rutile"])]))
    assert not any(values.requires_grad for values in (*features.nodes.values(), *features.crystals.values()))


def test_prepared_samples_are_shared_by_equal_keys() -> None:
    plain, r2scan = load("chgnet"), load("chgnet-r2scan")
    assert plain.prepare_key == r2scan.prepare_key
    assert load("descriptors").prepare_key != get_encoder("descriptors")(layers=["composition"]).prepare_key


@pytest.mark.parametrize(
    ("encoder", "settings", "module", "extra"),
    [("sevennet", {}, "sevenn.util", "foundation"), ("matgl", {"model": "any"}, "matgl", "matgl")],
)
def test_a_missing_extra_says_what_to_install(
    encoder: str, settings: dict[str, str], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install moe_mat\[{extra}\]"):
        get_encoder(encoder)(**settings)


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


def test_pairs_of_bonds() -> None:
    one, other = pairs_of_bonds(np.array([0, 0, 2, 2, 2, 5]))
    assert {(int(a), int(b)) for a, b in zip(one, other, strict=True)} == {
        *[(0, 1), (1, 0)],
        *[(2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)],
    }


# SevenNet and MatGL against their own ASE calculators


def energies_per_atom(calculator: Any, structures: list[Structure]) -> np.ndarray:
    energies = []
    for structure in structures:
        atoms = structure.to_ase_atoms()
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
    return np.array(energies)


def test_sevennet_energy_is_that_of_its_calculator() -> None:
    encoder = load("sevennet")
    from sevenn.calculator import SevenNetCalculator

    structures = [CRYSTALS[name] for name in ("CaTiO3 perovskite", "MoS2 layered", "isolated atoms")]
    expected = energies_per_atom(SevenNetCalculator("7net-0", device="cpu"), structures)
    np.testing.assert_allclose(pooled(encoder, structures)["energy"][:, 0], expected, atol=2e-5)


@pytest.mark.parametrize("model", ["tensornet", "m3gnet", "qet"])
def test_matgl_energy_is_that_of_its_calculator(model: str) -> None:
    encoder = load(model)
    import matgl
    from matgl.ext.ase import PESCalculator

    structures = [CRYSTALS[name] for name in ("CaTiO3 perovskite", "MoS2 layered", "NaCl rocksalt")]
    expected = energies_per_atom(PESCalculator(matgl.load_model(CASES[model].settings["model"])), structures)
    np.testing.assert_allclose(pooled(encoder, structures)["energy"][:, 0], expected, atol=2e-5)


# Descriptors


def test_magpie_statistics_are_those_of_matminer() -> None:
    from matminer.featurizers.composition import ElementProperty
    from matminer.utils.data import MagpieData

    reference = ElementProperty.from_preset("magpie")
    reference.data_source = MagpieData(impute_nan=False)
    for structure in CRYSTALS.values():
        found = magpie_statistics(np.array(structure.atomic_numbers))
        expected = np.array(reference.featurize(structure.composition))
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=structure.formula)


def test_structure_features_of_known_crystals() -> None:
    def features(name: str) -> dict[str, float]:
        return structure_features(CRYSTALS[name], np.array(CRYSTALS[name].atomic_numbers))

    diamond, rocksalt = features("Si diamond"), features("NaCl rocksalt")
    assert diamond["space group"] == 227
    assert diamond["cubic"] == diamond["centrosymmetric"] == 1
    assert diamond["polar"] == 0
    assert np.exp(diamond["log order"]) == pytest.approx(48)
    assert np.exp(diamond["log atoms"]) == pytest.approx(2)
    assert np.exp(diamond["log orbits"]) == pytest.approx(1)
    assert np.exp(diamond["log volume per atom"]) == pytest.approx(5.431**3 / 8)
    assert diamond["coordination, mean"] == pytest.approx(4, abs=0.01)
    assert diamond["length, mean"] == pytest.approx(5.431 * 3**0.5 / 4, abs=0.01)
    assert diamond["Q3, mean"] == pytest.approx((5 / 9) ** 0.5, abs=0.01)  # four corners of a tetrahedron
    assert diamond["same element, mean"] == pytest.approx(1)
    assert rocksalt["coordination, mean"] == pytest.approx(6, abs=0.05)
    assert rocksalt["Q4, mean"] == pytest.approx((7 / 12) ** 0.5, abs=0.01)  # six corners of an octahedron
    assert rocksalt["Q6, mean"] == pytest.approx(0.125**0.5, abs=0.01)
    assert rocksalt["electronegativity difference, mean"] == pytest.approx(3.16 - 0.93, abs=0.01)
    assert np.isnan(features("isolated Ar")["length, mean"])
    assert features("isolated Ar")["coordination, mean"] == 0


def test_descriptors_are_standardised_by_what_they_were_fitted_on() -> None:
    encoder = get_encoder("descriptors")()
    structures = list(CRYSTALS.values())
    encoder.fit(structures)
    layers = pooled(encoder, structures)
    values = torch.cat(list(layers.values()), dim=1)
    described = np.stack([encoder.prepare(structure) for structure in structures])
    complete = ~np.isnan(described).any(axis=0)
    varies = complete & (described.std(axis=0) > 1e-6)
    np.testing.assert_allclose(values[:, complete].mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(values[:, varies].std(dim=0, correction=0), 1, atol=1e-4)
    assert (values[torch.from_numpy(np.isnan(described))] == 0).all()
    assert set(encoder.state_dict()) == {"mean", "std"}


def test_descriptor_layers_are_checked() -> None:
    with pytest.raises(ValueError, match="composition and structure, not volume"):
        get_encoder("descriptors")(layers=["volume"])
