"""Cards: every one that ships is valid and loads, and names find the right ones."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jsonschema
import moe_mat.experts
import numpy as np
import pytest
import yaml
from strategies import reference_crystals
from toy_experts import cgcnn_expert

from moe_mat import list_experts, load_expert
from moe_mat.files.checksum import file_sha256
from moe_mat.zoo.card_files import CardError, zoo_folder
from moe_mat.zoo.card_parts import PackageWeights
from moe_mat.zoo.cards import read_card
from moe_mat.zoo.experts import ExpertLoader
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.trunks import EmbeddingOrder

TAGS = list_experts()
ROCKSALT = reference_crystals()["NaCl rocksalt"]

# The experts that ship


@pytest.mark.parametrize("tag", TAGS)
def test_card_fits_the_schema_and_its_files_are_there(tag: str) -> None:
    schema = json.loads((zoo_folder() / "card.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    content = yaml.safe_load((zoo_folder() / f"{tag}.yaml").read_text())
    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    card = read_card(zoo_folder() / f"{tag}.yaml")
    assert card.tag == tag == card.reference
    assert card.license.strip()
    assert card.citation
    if card.weights_file is not None:
        assert file_sha256(card.weights_file) == card.weights_id
    assert card.to_dict() == content


@pytest.fixture(scope="module")
def loader() -> ExpertLoader:
    """Most experts are layers of a few encoders, and these are loaded once."""
    return ExpertLoader()


@pytest.mark.parametrize("tag", TAGS)
def test_expert_loads_and_embeds(tag: str, loader: ExpertLoader) -> None:
    card = read_card(zoo_folder() / f"{tag}.yaml")
    for root in EmbeddingOrder.of([card]).roots.values():
        if root.encoder == "matgl" and not Path(root.settings["model"]).is_dir():
            pytest.skip("the weights come from a hub: tests/test_encoders.py loads such models from folders")
        if isinstance(root.weights, PackageWeights):
            try:
                version(root.weights.package)
            except PackageNotFoundError:
                pytest.skip(f"the optional package {root.weights.package} is not installed")
    expert = loader.expert(card)
    embedding = expert.embed([ROCKSALT, ROCKSALT * 2])
    assert embedding.shape == (2, card.dim)
    assert embedding.dtype == np.float32
    assert np.isfinite(embedding).all()
    np.testing.assert_allclose(embedding[0], embedding[1], atol=1e-3)
    assert not any(parameter.requires_grad for parameter in expert.parameters())
    assert not any(module.training for module in expert.train().modules())


@pytest.mark.parametrize("tier", moe_mat.experts.TIERS)
def test_the_tiers_ship(tier: str) -> None:
    cards = find_cards(tier)
    tags = {card.tag for card in cards}
    assert {"magpie"} < tags
    assert ("chgnet" in tags) == (tier != "composition")
    assert all(any(fnmatchcase(tag, pattern) for tag in tags) for pattern in moe_mat.experts.TIERS[tier])
    assert not {card.weights.package for card in cards if isinstance(card.weights, PackageWeights)} & {"matgl"}


def test_the_tiers_grow() -> None:
    light, default, everything = ({card.tag for card in find_cards(tier)} for tier in ("light", "default", "all"))
    assert default < everything
    assert {tag for tag in light if not tag.startswith("light_")} < default


def test_no_weights_lie_without_a_card() -> None:
    named = [read_card(zoo_folder() / f"{tag}.yaml").weights_file for tag in TAGS]
    assert set(zoo_folder().glob("*.safetensors")) == {path for path in named if path is not None}


# Names


def test_patterns() -> None:
    assert list_experts("chgnet") == ["chgnet"]
    assert list_experts("no such *") == []
    conv = list_experts("chgnet_conv*")
    assert len(conv) > 1
    assert [card.tag for card in find_cards("chgnet_conv*")] == conv


@pytest.mark.parametrize(("name", "hint"), [("chgent", "chgnet"), ("Magpie", "magpie"), ("nothing_like_it", None)])
def test_an_unknown_tag_names_close_matches(name: str, hint: str | None) -> None:
    with pytest.raises(CardError, match=f"no expert {name!r}") as caught:
        load_expert(name)
    assert (f"Did you mean {hint}" in str(caught.value)) if hint else ("Did you mean" not in str(caught.value))


def test_folders_patterns_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (cgcnn_expert(tmp_path / "hub", tag, seed=seed) for seed, tag in enumerate(["toy_one", "toy_two"]))
    assert find_cards(str(tmp_path / "hub")) == [one, two]
    assert find_cards(str(tmp_path / "hub" / "*_two")) == [two]
    assert find_cards(str(two.path)) == [two]
    assert find_cards([str(two.path), "magpie", str(tmp_path / "hub")]) == [two, *find_cards("magpie"), one]
    assert load_expert(two.path).tag == "toy_two"
    assert find_cards(two.reference) == [two]
    with pytest.raises(CardError, match="2 experts \\(toy_one, toy_two\\)"):
        load_expert(tmp_path / "hub")
    with pytest.raises(CardError, match="no expert"):
        find_cards(str(tmp_path / "hub" / "*_three"))
    monkeypatch.chdir(tmp_path)
    assert [card.tag for card in find_cards(["hub", str(one.path), "./hub/toy_*"])] == ["toy_one", "toy_two"]


def test_a_folder_in_the_way_does_not_hide_an_expert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chgnet").mkdir()
    (tmp_path / "magpie").write_text("notes")
    monkeypatch.chdir(tmp_path)
    assert [card.tag for card in find_cards(["chgnet", "magpie"])] == ["chgnet", "magpie"]


def test_two_experts_with_one_tag_are_refused(tmp_path: Path) -> None:
    one, two = (cgcnn_expert(tmp_path / hub, "toy", seed=seed) for seed, hub in enumerate(["a", "b"]))
    with pytest.raises(CardError, match="toy") as caught:
        find_cards([str(one.path), str(two.path)])
    assert str(one.path) in str(caught.value)
    assert str(two.path) in str(caught.value)
