"""Modules: adapters that start as nothing, files that hold adapters alone, and merging by weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from safetensors.torch import load_file, save_file
from toy_experts import cgcnn_expert, randomise, write_expert
from toy_hub import backbone, hub, module

from moe_mat.encoders import get_encoder
from moe_mat.encoders.adapter import adapter_names
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.files.checksum import file_sha256
from moe_mat.mixture.heads.last_convolution import LastConvolutions, collate_partial, partial_crystals
from moe_mat.moma.merging import MergeError, merge, write_merged
from moe_mat.pretrain.modules import start_module
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.card_parts import WeightsFile
from moe_mat.zoo.cards import ExpertCard, read_card, write_card
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.experts import EncoderExpert, build_expert
from moe_mat.zoo.weights import WeightsError

CRYSTALS = [
    Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]),
    Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
    Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]]),
]


def embedded(card: ExpertCard) -> np.ndarray:
    return build_expert(card).embed(CRYSTALS)


@pytest.mark.parametrize("name", ["cgcnn", "chgnet"])
def test_adapters_start_as_nothing_and_are_a_few_per_cent(name: str, tmp_path: Path) -> None:
    if name == "cgcnn":
        with torch.random.fork_rng(devices=[]):
            encoder = randomise(CGCNNEncoder(), seed=0)  # the published sizes
        readout = {"layers": ["embedding", "conv4"], "statistics": ["mean", "std"], "activation": "softplus"}
        card = write_expert(tmp_path, "plain", encoder, encoder="cgcnn", readout=readout, dim=256)
    else:
        readout = {"layers": ["conv1", "conv4", "crystal", "energy"]}
        package = {"package": "chgnet", "version": "0.4.2"}
        card = write_expert(tmp_path, "plain", None, encoder="chgnet", readout=readout, dim=193, weights=package)
    adapted = start_module(card, bottleneck=8)
    assert adapted.embed(CRYSTALS).tobytes() == embedded(card).tobytes()

    sizes = {name: values.numel() for name, values in adapted.encoder.named_parameters()}
    adapters = adapter_names(sizes)
    assert 0 < sum(sizes[name] for name in adapters) < 0.05 * sum(sizes.values())
    # They do something once they are trained, in every layer but the first.
    with torch.no_grad():
        for name, parameter in adapted.encoder.named_parameters():
            if name in adapters:
                parameter.add_(0.1)
    assert np.abs(adapted.embed(CRYSTALS) - embedded(card))[:, -64:].max() > 1e-3


def test_gradients_through_chgnet_are_finite() -> None:
    encoder = get_encoder("chgnet")(adapter=2).requires_grad_(True)
    features = encoder(encoder.collate([encoder.prepare(structure) for structure in CRYSTALS[1:]]))
    features.nodes["conv4"].square().mean().backward()
    slopes = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert {name for name in slopes if "adapters.3.up" in name}
    assert all(bool(slope.isfinite().all()) for slope in slopes.values())


def test_adapter_module_is_its_backbone_and_a_small_file(tmp_path: Path) -> None:
    base, card = hub(tmp_path, kind="adapter", n=1)
    assert base.weights_file is not None
    assert card.weights_file is not None
    assert card.weights_file.stat().st_size < 0.4 * base.weights_file.stat().st_size  # mostly names, at this size
    expert = build_expert(card)
    state, own, frozen = expert.state_dict(), load_file(card.weights_file), load_file(base.weights_file)
    for name, value in {**frozen, **own}.items():
        assert torch.equal(state[f"encoder.{name}"], value)
    assert np.abs(embedded(card) - embedded(base)).max() > 1e-3
    assert card.digest != base.digest
    # Both come from one pass over the files, and from the cache.
    values = embed([base, card], CRYSTALS).values
    np.testing.assert_array_equal(values[card.tag], embedded(card))


def test_adapter_module_follows_no_other_backbone(tmp_path: Path) -> None:
    _, card = hub(tmp_path, kind="adapter", n=1)
    before = card.digest
    backbone(tmp_path, seed=9)  # trained again under the same tag
    with pytest.raises(CardError, match=r"adapter_0 was trained from another version of backbone toy_backbone"):
        build_expert(card)
    (tmp_path / "toy_backbone.yaml").unlink()
    with pytest.raises(CardError, match=r"toy_backbone\.yaml"):
        build_expert(card)
    assert card.digest == before
    moved = replace(card, module=replace(card.module, backbone_weights="0" * 64))
    assert moved.digest != before
    assert moved.encoder_digest != card.encoder_digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "embedding.bias": torch.zeros(16)}, "holds more than adapters: embedding.bias"),
        (lambda state: dict(list(state.items())[1:]), "does not fit expert adapter_0"),
        (lambda state: {**state, "convs.5.adapter.up.bias": torch.zeros(16)}, "does not fit expert adapter_0"),
    ],
)
def test_adapter_file_is_read_strictly(tmp_path: Path, change: object, message: str) -> None:
    _, card = hub(tmp_path, kind="adapter", n=1)
    assert card.weights_file is not None
    save_file(change(load_file(card.weights_file)), card.weights_file)  # type: ignore[operator]
    write_card(replace(card, weights=WeightsFile(card.weights_file.name, file_sha256(card.weights_file))))
    with pytest.raises(WeightsError, match=message):
        build_expert(read_card(card.path))


def test_adapters_are_part_of_a_convolution_that_is_fine_tuned(tmp_path: Path) -> None:
    _, *cards = hub(tmp_path, kind="adapter", n=2)
    experts = [build_expert(card) for card in cards]
    tail = LastConvolutions(experts).eval()
    batch = collate_partial(list(partial_crystals(experts, CRYSTALS)))
    for index, values in tail(batch, [0, 1]).items():
        np.testing.assert_allclose(values.detach().numpy(), embedded(cards[index]), atol=1e-5)


@pytest.mark.parametrize("kind", ["full", "adapter"])
def test_merged_weights_are_the_weighted_mean(tmp_path: Path, kind: str) -> None:
    base, *cards = hub(tmp_path, kind=kind)
    weights = dict(zip([card.tag for card in cards], [0.5, 0.3, 0.2], strict=True))
    states = {card.tag: load_file(card.weights_file) for card in cards if card.weights_file}
    merged = merge(cards, weights)
    assert set(merged) == set(states["full_0" if kind == "full" else "adapter_0"])
    for name, value in merged.items():
        expected = sum(weights[tag] * state[name].double() for tag, state in states.items())
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=0)
        if "running" in name:
            assert base.weights_file
            torch.testing.assert_close(value, load_file(base.weights_file)[name])

    card = write_merged(cards, weights, folder=tmp_path / "merged", tag="mine")
    assert read_card(card.path) == card
    assert list(card.training["merged"]) == [card.tag for card in cards]
    expected_network = build_expert(cards[0])
    assert isinstance(expected_network, EncoderExpert)
    expected_network.encoder.load_state_dict(merged, strict=False)
    assert embedded(card).tobytes() == expected_network.embed(CRYSTALS).tobytes()


@pytest.mark.parametrize("kind", ["full", "adapter"])
def test_one_module_alone_is_that_module_to_the_byte(tmp_path: Path, kind: str) -> None:
    _, *cards = hub(tmp_path, kind=kind)
    one_hot = {cards[0].tag: 0.0, cards[1].tag: 1.0, cards[2].tag: 0.0}
    assert cards[1].weights_file is not None
    own = load_file(cards[1].weights_file)
    merged = merge(cards, one_hot)
    assert {name: value.numpy().tobytes() for name, value in merged.items()} == {
        name: value.numpy().tobytes() for name, value in own.items()
    }
    card = write_merged(cards, one_hot, folder=tmp_path / "merged", tag="mine")
    assert embedded(card).tobytes() == embedded(cards[1]).tobytes()
    if kind == "full":
        assert card.weights_id == cards[1].weights_id


def test_equal_modules_merge_into_themselves(tmp_path: Path) -> None:
    of = backbone(tmp_path)
    twins = [module(of, tag, seed=1) for tag in ("one", "two", "three")]
    merged = merge(twins, {"one": 0.2, "two": 0.7, "three": 0.1})
    assert twins[0].weights_file is not None
    for name, value in load_file(twins[0].weights_file).items():
        torch.testing.assert_close(merged[name], value, atol=1e-7, rtol=1e-6)


def test_a_module_that_is_not_selected_changes_no_byte(tmp_path: Path) -> None:
    of, *cards = hub(tmp_path)
    weights = {cards[0].tag: 0.25, cards[1].tag: 0.75}
    before = write_merged(cards[:2], weights, folder=tmp_path / "before", tag="mine")
    old = {path.name: path.read_bytes() for path in tmp_path.glob("full_*")}
    cards.append(module(of, "full_new", seed=99))
    after = write_merged(cards, {**weights, "full_new": 0.0}, folder=tmp_path / "after", tag="mine")
    assert before.weights == after.weights
    assert {name: (tmp_path / name).read_bytes() for name in old} == old


def test_what_cannot_be_merged_is_named(tmp_path: Path) -> None:
    of, full, _, _ = hub(tmp_path)
    adapter = module(of, "an_adapter", kind="adapter", seed=1)
    elsewhere = module(backbone(tmp_path, "other_backbone", seed=5), "elsewhere", seed=1)
    again = tmp_path / "again"
    retrained = module(backbone(again, seed=5), "retrained", seed=1)
    wide = cgcnn_expert(tmp_path, "wide_backbone", width=24)
    wider = module(wide, "wider", seed=1)
    for other, what in (
        (adapter, "settings of the encoder"),
        (elsewhere, "backbone differs"),
        (retrained, "initialisation differs"),
        (wider, "settings of the encoder"),
    ):
        with pytest.raises(MergeError, match=rf"full_0 and {other.tag} cannot be merged: their .*{what}"):
            merge([full, other], {"full_0": 0.5, other.tag: 0.5})
    with pytest.raises(MergeError, match="toy_backbone is no module"):
        merge([full, of], {"full_0": 1.0})
    with pytest.raises(MergeError, match="there is nothing to merge"):
        merge([], {})
    with pytest.raises(MergeError, match="weights but no modules nobody"):
        merge([full], {"nobody": 1.0})
    for weights in ({"full_0": 0.7}, {"full_0": 2.0, "full_1": -1.0}, {"full_0": 0.0}):
        with pytest.raises(MergeError, match="not convex"):
            merge(hub(tmp_path)[1:], weights)
