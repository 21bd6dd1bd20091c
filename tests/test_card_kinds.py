"""Cards by kind: what is read is what was written, mistakes are named, and digests say what an embedding depends on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from toy_experts import cgcnn, cgcnn_expert, network_expert, write_expert
from toy_hub import hub

from moe_mat import load_expert
from moe_mat.zoo.card_files import CardError, zoo_folder
from moe_mat.zoo.card_parts import ModuleOrigin, NetworkShape, PackageWeights, Readout, WeightsFile
from moe_mat.zoo.cards import (
    EncoderCard,
    ExpertCard,
    ModuleCard,
    NetworkCard,
    find_backbone,
    find_trunk,
    read_card,
    trunk_digest,
    write_card,
)
from moe_mat.zoo.experts import EncoderExpert, NetworkExpert
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.weights import WeightsError

# Kinds


@pytest.fixture
def cards(tmp_path: Path) -> dict[str, ExpertCard]:
    """A card of each kind."""
    backbone, adapter = hub(tmp_path, kind="adapter", n=1)
    network = network_expert(tmp_path, "network", trunk=[backbone], sizes=[4, 3])
    return {"encoder": backbone, "module": adapter, "network": network}


def test_each_kind_has_its_own_class_and_parts(cards: dict[str, ExpertCard]) -> None:
    backbone, module, network = (read_card(cards[kind].path) for kind in ("encoder", "module", "network"))
    assert type(backbone) is EncoderCard
    assert backbone.readout == Readout(("conv2",), ("mean",), "softplus")
    assert isinstance(backbone.weights, WeightsFile)
    assert isinstance(load_expert(backbone.path), EncoderExpert)
    assert type(module) is ModuleCard
    assert module.module == ModuleOrigin("adapter", "toy_backbone", backbone.weights.sha256)
    assert find_backbone(module) == backbone
    assert isinstance(load_expert(module.path), EncoderExpert)
    assert type(network) is NetworkCard
    assert network.network == NetworkShape((4, 3))
    assert find_trunk(network) == [backbone]
    assert isinstance(load_expert(network.path), NetworkExpert)
    (chgnet,) = find_cards("chgnet")
    assert isinstance(chgnet.weights, PackageWeights)


@pytest.mark.parametrize("kind", ["encoder", "module", "network"])
def test_a_card_is_read_as_it_was_written(kind: str, cards: dict[str, ExpertCard], tmp_path: Path) -> None:
    card = cards[kind]
    content = yaml.safe_load(card.path.read_text())
    assert card.to_dict() == content
    copy = dataclasses.replace(card, path=tmp_path / "copies" / card.path.name)
    write_card(copy)
    assert read_card(copy.path) == copy
    assert yaml.safe_load(copy.path.read_text()) == content


def test_a_default_is_stated_or_not(tmp_path: Path) -> None:
    """The digest is over what the card says: a file must not change its meaning when it is written again."""
    plain = cgcnn_expert(tmp_path, "plain", readout={"layers": ["conv2"]})
    stated = cgcnn_expert(tmp_path, "stated", readout={"layers": ["conv2"], "statistics": ["mean"]})
    assert plain.readout.pooled_by == stated.readout.pooled_by == ("mean",)
    for card in (plain, stated):
        assert card.to_dict() == yaml.safe_load(card.path.read_text())
    assert plain.digest != stated.digest


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("encoder", "trunk_digest", "0" * 64),
        ("encoder", "encoders", "cgcnn"),
        ("module", "trunk_digest", "0" * 64),
        ("network", "encoder", "cgcnn"),
        ("network", "settings", {}),
        ("network", "readout", {"layers": ["conv2"]}),
        ("network", "module", {"kind": "full", "backbone": "toy_backbone", "backbone_weights": "none"}),
    ],
)
def test_a_field_of_another_kind_is_refused_by_name(
    kind: str, field: str, value: object, cards: dict[str, ExpertCard]
) -> None:
    path = cards[kind].path
    path.write_text(yaml.safe_dump(cards[kind].to_dict() | {field: value}))
    of = "a network on a trunk" if kind == "network" else "an expert that sees crystals"
    with pytest.raises(CardError, match=rf"{path.name} is not valid: {field}: not of {of}$"):
        read_card(path)


def test_a_card_of_two_kinds_is_refused(cards: dict[str, ExpertCard]) -> None:
    path = cards["encoder"].path
    both = cards["network"].to_dict() | cards["encoder"].to_dict()
    path.write_text(yaml.safe_dump(both))
    with pytest.raises(CardError, match="encoder, readout, settings: not of a network on a trunk"):
        read_card(path)
    for field in ("network", "trunk"):
        path.write_text(yaml.safe_dump({name: value for name, value in both.items() if name != field}))
        with pytest.raises(CardError, match=f"'{field}' is a required property"):
            read_card(path)


def test_what_is_wrong_is_not_hidden_by_what_is_right(cards: dict[str, ExpertCard]) -> None:
    path = cards["network"].path
    path.write_text(yaml.safe_dump(cards["network"].to_dict() | {"network": {"sizes": [0]}, "dim": 0}))
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert "network.sizes[0]: 0" in str(caught.value)
    assert "dim: 0" in str(caught.value)
    assert "not of" not in str(caught.value)


# Digests of cards that ship: embeddings in caches and results of benchmarks are found by them.
DIGESTS = {
    "chgnet": (
        "3b13b73633321a2be710908ab0dd1d084397283c31873b8dd60cd9d8d96ca85a",
        "d040d6d60b64633fd3495eb992fbbb27503d9e4bd2ea0c2c24fb32f677044eaa",
    ),
    "magpie": (
        "1cff2c7a3b637f5baedd1d5d452b493601d016bdf1e99663b741107857291910",
        "20808fec6dbb723f7bc11cc38aa9dea6426461d21b425e5becaf1cef2c6e5109",
    ),
    "sevennet0": (
        "0965fbc71b0db667e6594c416284aa570929f3dc2f0a70952f26dcd6afffcf42",
        "5bcd854fbe45a36cf6e84be499c98bec146d52f6da47852bd051febe1e87e306",
    ),
    "moma_backbone": (
        "2a1b283be0d0da433f4a7a85a10465af15531ad057232beb73d2afa8516de8db",
        "5965e05f10378aff011c7276e2f8a0aaffc431e976705a6196aaa49845e9602f",
    ),
    "moma_full_boltztrap_mass_n": (
        "a0613c9586509a5a19822dd3c1ae0ee7f78c38a0196fce34b8806b41116da4b6",
        "0ebc843e0acd6dd24fc534214280ce0b3b63a7bc8a45614f92de6df2901ff742",
    ),
    "moma_adapter_boltztrap_mass_n": (
        "71ec0a358f636085282df986cb41cdaeb9c191466bba5e823883483d0f64dc87",
        "ebf3850ad7eb0cb122183fd59fa1a7136eb06c46d79269e0b2908a19d71fd1f2",
    ),
    "moma_chgnet_adapter_boltztrap_mass_n": (
        "cc79bd61c96e8d9e38b49ba2f07b1a32e9ee0e0e5989baa2b0a326f24e6d1939",
        "a0cbc07c078ad93722f397c2d2d86949e3f6a88373689d5d2a8e9ea211c14d5c",
    ),
    "jarvis_formation_energy": (
        "c64f20eb5636fc713581b893f5c458ccd5d51faaa11e15bed6e8f2daac5ef893",
        None,
    ),
    "boltztrap_predictions": (
        "9f9767ac1156922b7066cfef55d1683b99ee799c18563b010133b46d44870907",
        None,
    ),
}


@pytest.mark.parametrize("tag", DIGESTS)
def test_the_digests_of_cards_that_ship_stay(tag: str) -> None:
    card = read_card(zoo_folder() / f"{tag}.yaml")
    encoder_digest = card.encoder_digest if isinstance(card, EncoderCard) else None
    assert (card.digest, encoder_digest) == DIGESTS[tag]


# Cards with mistakes


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dim": 0}, "dim: 0"),
        ({"readout": {"layers": []}}, "readout.layers"),
        ({"readout": {"layers": ["conv2"], "statistics": ["median"]}}, "median"),
        ({"weights": {"file": "../toy.safetensors", "sha256": "0" * 64}}, "weights"),
        ({"weights": {"file": "toy.pth.tar", "sha256": "0" * 64}}, "weights"),
        ({"tag": "other"}, "name the file other.yaml"),
    ],
)
def test_a_card_with_a_mistake_is_named(change: dict[str, object], problem: str, tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    card.path.write_text(yaml.safe_dump(card.to_dict() | change))
    with pytest.raises(CardError) as caught:
        read_card(card.path)
    assert str(card.path) in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"tag: [", b"\xff\xfe", b"- a list"])
def test_what_is_no_card_is_named(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(text)
    with pytest.raises(CardError, match=r"toy\.yaml"):
        read_card(path)


def test_a_card_that_is_not_valid_is_not_written(tmp_path: Path) -> None:
    card = dataclasses.replace(cgcnn_expert(tmp_path, "toy"), tag="not a tag", path=tmp_path / "not a tag.yaml")
    with pytest.raises(CardError, match="tag: 'not a tag'"):
        write_card(card)
    assert not card.path.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"encoder": "cgnn"}, "unknown encoder 'cgnn'; known: .*cgcnn"),
        ({"settings": {"widht": 8}}, "widht"),
        ({"dim": 9}, "dim 9, but its embedding has 8"),
        ({"readout": {"layers": ["conv7"]}}, "no layer 'conv7'; it has embedding, conv1, conv2"),
    ],
)
def test_a_card_that_does_not_fit_its_encoder_is_refused(
    change: dict[str, object], problem: str, tmp_path: Path
) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    card.path.write_text(yaml.safe_dump(card.to_dict() | change))
    with pytest.raises(CardError, match=problem) as caught:
        load_expert(card.path)
    assert "toy" in str(caught.value)


def test_weights_of_another_package_version_are_refused(tmp_path: Path) -> None:
    """What chgnet 0.5 computes would be cached, and mixed, as what chgnet 0.4.2 does."""
    card = find_cards("chgnet")[0]
    changed = dataclasses.replace(card, weights=PackageWeights("chgnet", "0.1"), path=tmp_path / "chgnet.yaml")
    write_card(changed)
    with pytest.raises(WeightsError, match=r"pip install chgnet==0\.1"):
        load_expert(changed.path)


# Digests


def test_digests_part_what_matters_from_what_does_not(tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    renamed = dataclasses.replace(card, title="another title", metrics={"validation_mae": 1.0}, tag="renamed")
    assert renamed.digest == card.digest
    changed = [
        dataclasses.replace(card, weights=WeightsFile("toy.safetensors", "0" * 64)),
        dataclasses.replace(card, settings=card.settings | {"ties": "order"}),
        dataclasses.replace(card, readout=dataclasses.replace(card.readout, activation="none")),
        dataclasses.replace(card, encoder="chgnet"),
    ]
    assert len({card.digest, *(other.digest for other in changed)}) == len(changed) + 1
    assert changed[2].encoder_digest == card.encoder_digest != changed[1].encoder_digest


def test_a_rewritten_card_is_read_anew(tmp_path: Path) -> None:
    prints = {cgcnn_expert(tmp_path, "toy", seed=seed).digest for seed in range(5)}
    assert len(prints) == 5


def test_a_network_depends_on_its_trunk(tmp_path: Path) -> None:
    trunk = cgcnn_expert(tmp_path, "trunk")
    network = network_expert(tmp_path, "network", trunk=[trunk], sizes=[4])
    before = network.digest
    pinned = dataclasses.replace(network, trunk_digest=trunk_digest([trunk]))
    write_card(pinned)
    assert load_expert(network.path).dim == 4
    cgcnn_expert(tmp_path, "trunk", seed=1)
    assert network.digest != before
    with pytest.raises(CardError, match="network was trained on another version of trunk"):
        load_expert(network.path)


def test_a_network_without_its_trunk_is_refused(tmp_path: Path) -> None:
    network = network_expert(tmp_path, "network", trunk=[cgcnn_expert(tmp_path, "trunk")], sizes=[4])
    (tmp_path / "trunk.yaml").unlink()
    with pytest.raises(CardError, match=r"trunk\.yaml"):
        load_expert(network.path)
    write_card(dataclasses.replace(network, trunk=("network",)))
    with pytest.raises(CardError, match="names itself"):
        load_expert(network.path)


def test_weights_that_a_card_names_need_not_exist_to_be_listed(tmp_path: Path) -> None:
    card = write_expert(tmp_path, "toy", cgcnn(), encoder="cgcnn", readout={"layers": ["conv2"]}, dim=8)
    assert card.weights_file is not None
    card.weights_file.unlink()
    assert find_cards(str(tmp_path)) == [card]
    with pytest.raises(WeightsError, match=r"toy\.safetensors is missing"):
        load_expert(card.path)
