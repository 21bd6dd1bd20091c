"""What every encoder promises, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from encoder_cases import CASES, CRYSTALS, load, pooled
from pymatgen.core import Lattice, Structure
from strategies import rotated
from torch import Tensor

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.encoders import get_encoder


@cache
def reference(name: str) -> dict[str, Tensor]:
    return pooled(load(name), list(CRYSTALS.values()))


# A second potential through the same code.
SLOW = {"elasticity-chgnet"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def name(request: pytest.FixtureRequest) -> str:
    CASES[request.param].skip_if_missing()
    return request.param


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
    assert {layer: sum(x.shape[1] for x in channels) for layer, channels in features.tensors.items()} == (
        encoder.tensor_layers
    )
    assert features.n_crystals == len(CRYSTALS)
    tensors = [values for channels in features.tensors.values() for values in channels]
    for values in (*features.nodes.values(), *features.crystals.values(), *tensors):
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()


def test_different_crystals_differ(name: str) -> None:
    encoder = load(name)
    one, other = (CRYSTALS[example] for example in CASES[name].examples)
    stretched = one.copy()
    stretched.scale_lattice(one.volume * 1.1)
    layers = pooled(encoder, [one, stretched, other])
    together = torch.cat(list(layers.values()), dim=1)
    sees_sites = not layers.keys() <= encoder.composition_layers
    assert bool((together[0] - together[1]).abs().max() > 0.01) == sees_sites
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
