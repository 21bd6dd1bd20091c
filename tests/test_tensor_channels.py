"""Vectors and tensors of atoms: what their norms are, when those of the crystal vanish, and who pays for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_cases import CRYSTALS, load
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from strategies import ordered_structures, rotated, rotations

from moe_mat.encoders import Features, pool_tensors, sevennet
from moe_mat.encoders.descriptors.inversion import has_inversion_centre
from moe_mat.zoo import CardError, EmbeddingCache, EncoderCard, EncoderExpert, Readout, embed, read_card, zoo_folder

BOTH = ["norm_of_mean", "mean_of_norms"]
# Baddeleyite, ZrO2 in P2_1/c: no atom lies on a centre of the point group 2/m, which has axial vectors.
BADDELEYITE = Structure.from_spacegroup(
    "P2_1/c",
    Lattice.monoclinic(5.151, 5.212, 5.317, 99.2),
    ["Zr", "O", "O"],
    [[0.275, 0.040, 0.208], [0.070, 0.332, 0.345], [0.449, 0.757, 0.480]],
)
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(3.25, 5.207), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
)


# Norms


def test_norms_of_two_vectors() -> None:
    vectors = torch.tensor([[[3.0, 0, 0]], [[0, 4.0, 0]], [[0, 0, 1.0]]])
    found = pool_tensors([vectors], torch.tensor([0, 0, 1]), 2, statistics=BOTH)
    torch.testing.assert_close(found, torch.tensor([[2.5, 3.5], [1, 1]]))
    swapped = pool_tensors([vectors], torch.tensor([0, 0, 1]), 2, statistics=BOTH[::-1])
    torch.testing.assert_close(swapped, found[:, [1, 0]])


@given(rotations())
def test_norms_of_vectors_do_not_turn(rotation: np.ndarray) -> None:
    vectors = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    crystal = torch.tensor([0, 0, 1, 1, 1])
    turned = vectors @ torch.from_numpy(rotation.T).float()
    norms, of_turned = (pool_tensors([v], crystal, 2, statistics=BOTH) for v in (vectors, turned))
    torch.testing.assert_close(norms, of_turned, atol=1e-5, rtol=1e-5)


def test_only_odd_means_of_centrosymmetric_crystals_are_zero() -> None:
    channels = [torch.ones(4, 2, 2 * degree + 1) for degree in (1, 2, 3, 4)]
    crystal, centre = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False])
    found = pool_tensors(channels, crystal, 2, statistics=BOTH, centrosymmetric=centre)
    means, norms = found.split(8, dim=1)
    assert (means[0] == 0).tolist() == [True, True, False, False, True, True, False, False]
    torch.testing.assert_close(means[1], norms[1])
    torch.testing.assert_close(norms[0], norms[1])
    torch.testing.assert_close(pool_tensors(channels, crystal, 2, statistics=BOTH)[0], found[1])


# Inversion centres


@pytest.mark.parametrize("name", CRYSTALS)
def test_inversion_centres_of_known_crystals(name: str) -> None:
    assert has_inversion_centre(CRYSTALS[name]) == (name != "ZnS zincblende")


@given(ordered_structures(max_sites=4), st.integers(0, 100))
@settings(max_examples=60)
def test_inversion_centres_are_those_that_spglib_finds(structure: Structure, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = Structure(structure.lattice, structure.species, rng.uniform(0.2, 0.8, 3) - structure.frac_coords)
    both = Structure.from_sites([*structure, *image])
    if both.is_valid(0.5):
        moved = Structure(both.lattice, both.species, both.frac_coords + rng.normal(size=3))
        assert has_inversion_centre(moved)
        assert has_inversion_centre(moved * [1, 2, 1])
    assert has_inversion_centre(structure) == SpacegroupAnalyzer(structure, symprec=0.01).is_laue()


def test_a_ferroelectric_displacement_is_no_inversion_centre() -> None:
    lattice, species = Lattice.tetragonal(4.0, 4.03), ["Ba", "Ti", "O", "O", "O"]
    positions = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    assert has_inversion_centre(Structure(lattice, species, positions))
    positions[1, 2] += 0.05 / 4.03
    assert not has_inversion_centre(Structure(lattice, species, positions))


# SevenNet


def features_of(name: str, structures: list[Structure], *, centres: bool = True) -> Features:
    encoder = load(name)
    samples = [encoder.prepare(structure) for structure in structures]
    if not centres:
        samples = [replace(sample, centrosymmetric=False) for sample in samples]
    with torch.no_grad():
        return encoder(encoder.collate(samples))


def norms(features: Features, layer: str) -> list[torch.Tensor]:
    """The norms of the crystal's means, of each degree ``[n_crystals, multiplicity]``."""
    index, n, centres = features.crystal_of_node, features.n_crystals, features.centrosymmetric
    return [
        pool_tensors([x], index, n, statistics=["norm_of_mean"], centrosymmetric=centres)
        for x in features.tensors[layer]
    ]


@pytest.mark.parametrize("name", ["sevennet", "sevennet-l3i5", "sevennet-mf-0"])
def test_odd_tensors_of_a_crystal_with_an_inversion_centre_are_zero(name: str) -> None:
    found = features_of(name, [BADDELEYITE, WURTZITE])
    plain = features_of(name, [BADDELEYITE, WURTZITE], centres=False)
    for layer in found.tensors:
        vectors, tensors, *third = norms(found, layer)
        assert (vectors[0] == 0).all()
        assert all((degree[0] == 0).all() for degree in third)
        assert (tensors[0] > 1e-4).any()
        # Wurtzite is polar. What is set to zero is noise in the first layer, and a hundredth later on.
        scale = found.tensors[layer][0].norm(dim=-1).mean()
        assert vectors[1].max() > 0.1 * scale
        left = norms(plain, layer)[0][0].mean() / scale
        assert left < (1e-5 if layer == "layer1_tensors" else 0.1)


def test_every_channel_of_the_first_layer_has_natural_parity() -> None:
    mirrored = Structure(BADDELEYITE.lattice, BADDELEYITE.species, -BADDELEYITE.frac_coords)
    found, of_image = (features_of("sevennet-l3i5", [s]).tensors["layer1_tensors"] for s in (BADDELEYITE, mirrored))
    for degree, (values, image) in enumerate(zip(found, of_image, strict=True), 1):
        torch.testing.assert_close(image, (-1) ** degree * values, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["sevennet", "sevennet-l3i5", "sevennet-mf-0"])
def test_tensors_turn_with_the_crystal(name: str) -> None:
    rotation = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0], [0.48, 0.64, 0.6]])
    plain = features_of(name, [WURTZITE]).tensors["layer3_tensors"][0]
    turned = features_of(name, [rotated(WURTZITE, rotation)]).tensors["layer3_tensors"][0]
    # The three numbers of a vector stand in the order of the axes.
    torch.testing.assert_close(turned, plain @ torch.from_numpy(rotation.T).float(), atol=1e-4, rtol=1e-4)


# Cards


def tensor_card(readout: Readout, *, dim: int = 1) -> EncoderCard:
    card = read_card(zoo_folder() / "sevennet0_tensors.yaml")
    assert isinstance(card, EncoderCard)
    return replace(card, readout=readout, dim=dim, tag="own")


def test_an_expert_reads_the_norms_of_its_layers() -> None:
    encoder = load("sevennet")
    readout = Readout(("layer2_tensors", "energy", "layer1_tensors"), ("mean_of_norms", "norm_of_mean"))
    expert = EncoderExpert(tensor_card(readout, dim=2 * 96 * 2 + 1), encoder)
    assert [block[:2] for block in expert.blocks] == [
        ("layer2_tensors", "mean_of_norms"),
        ("layer2_tensors", "norm_of_mean"),
        ("energy", ""),
        ("layer1_tensors", "mean_of_norms"),
        ("layer1_tensors", "norm_of_mean"),
    ]
    (found,) = expert.embed([WURTZITE])
    features = features_of("sevennet", [WURTZITE])
    vectors, tensors = features.tensors["layer1_tensors"]
    expected = [*vectors.norm(dim=2).mean(0), *tensors.norm(dim=2).mean(0)]
    expected += [*vectors.mean(0).norm(dim=1), *tensors.mean(0).norm(dim=1)]
    np.testing.assert_allclose(found[193:], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("readout", "problem"),
    [
        (Readout(("layer1_tensors",)), "layer1_tensors which turns .* norm_of_mean and mean_of_norms, not mean"),
        (Readout(("layer1",), ("norm_of_mean",)), "layer1 which does not turn .* mean and std, not norm_of_mean"),
        (Readout(("layer5_tensors",), ("norm_of_mean",)), "has no layer 'layer5_tensors'; it has .*layer4_tensors"),
    ],
)
def test_statistics_that_do_not_fit_a_layer_are_named(readout: Readout, problem: str) -> None:
    with pytest.raises(CardError, match=problem):
        EncoderExpert(tensor_card(readout), load("sevennet"))


def test_scalars_alone_ask_for_no_inversion_centre(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load("sevennet")

    def fail(structure: Structure) -> bool:
        raise AssertionError("no tensor was asked for")

    scalars, tensors = (read_card(zoo_folder() / f"{tag}.yaml") for tag in ("sevennet0_layer1", "sevennet0_tensors"))
    crystals = [BADDELEYITE, WURTZITE]
    with EmbeddingCache(tmp_path) as cache:
        with monkeypatch.context() as context:
            context.setattr(sevennet, "has_inversion_centre", fail)
            first = embed([scalars], crystals, cache=cache).values
        both = embed([scalars, tensors], crystals, cache=cache).values
        with monkeypatch.context() as context:
            context.setattr(sevennet.SevenNetEncoder, "forward", fail)
            again = embed([tensors, scalars], crystals, cache=cache).values
    # The row of the cache is extended, and keeps the bits of what it held.
    assert first["sevennet0_layer1"].tobytes() == both["sevennet0_layer1"].tobytes()
    assert all(both[tag].tobytes() == again[tag].tobytes() for tag in again)
    odd = np.concatenate([np.arange(192 * layer, 192 * layer + 64) for layer in range(4)])
    assert (both["sevennet0_tensors"][0, odd] == 0).all()
    assert (both["sevennet0_tensors"][1, odd] > 0).any()
