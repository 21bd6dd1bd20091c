"""Pretraining of a hub: a joint backbone, modules that start from it, and growth that leaves the old ones alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from toy_hub_sources import HUB, train_hub, write_hub_recipe, write_sources

from moe_mat.cli.main import main
from moe_mat.crystals.held_out import HeldOut
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.training_crystals import TrainingCrystals
from moe_mat.moma.merging import merge
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.card_parts import ModuleOrigin
from moe_mat.zoo.cards import ModuleCard
from moe_mat.zoo.experts import load_expert


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole hub; tests that change it work on copies."""
    folder = tmp_path_factory.mktemp("trained")
    train_hub(folder, data)
    return folder


def read(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def test_a_hub_has_a_backbone_and_two_modules_a_target(trained: Path, data: Path) -> None:
    hub = trained / "hub"
    pairs = ["salts_difference", "salts_hardness", "oxides_gap"]
    tags = {"toy_backbone", *(f"toy_{kind}_{pair}" for kind in ("full", "adapter") for pair in pairs)}
    assert {path.stem for path in hub.glob("*.yaml")} == tags
    backbone = load_expert(hub / "toy_backbone.yaml").card
    assert set(backbone.metrics) == set(pairs)
    assert backbone.license == "salts licence; oxides licence"
    structures, _ = read_structures(data / "tasks" / "task.parquet")
    before = load_expert(hub / "toy_backbone.yaml").embed(structures)
    for tag in tags - {"toy_backbone"}:
        expert = load_expert(hub / f"{tag}.yaml")
        card = expert.card
        assert isinstance(card, ModuleCard)
        assert card.metrics["validation_mae"] < 0.9 * card.metrics["validation_median_mae"], tag
        assert (card.module.backbone, card.module.backbone_weights) == ("toy_backbone", backbone.weights_id)
        assert (card.license, card.citation) == (backbone.license, backbone.citation)
        assert expert.embed(structures).shape == before.shape == (6, 12)
        assert np.abs(expert.embed(structures) - before).max() > 1e-3
    assert load_expert(hub / "toy_full_oxides_gap.yaml").card.source["crystals"] == 40  # type: ignore[index]


def test_modules_normalise_as_their_backbone_does_and_can_be_merged(trained: Path) -> None:
    hub = trained / "hub"
    frozen = load_file(hub / "toy_backbone.safetensors")
    cards = {kind: [load_expert(path).card for path in hub.glob(f"toy_{kind}_*.yaml")] for kind in ("full", "adapter")}
    for card in cards["full"]:
        assert card.weights_file is not None
        own = load_file(card.weights_file)
        statistics = [name for name in frozen if "running" in name]
        assert len(statistics) == 8
        for name in statistics:
            assert own[name].numpy().tobytes() == frozen[name].numpy().tobytes()
        assert not own["convs.0.fc_full.weight"].equal(frozen["convs.0.fc_full.weight"])
    for card in cards["adapter"]:
        assert card.weights_file is not None
        assert {"adapter" in name for name in load_file(card.weights_file)} == {True}
    for of_kind in cards.values():
        merge(of_kind, {card.tag: 1 / 3 for card in of_kind})


def test_training_crystals_are_those_of_the_crystals_that_were_used(trained: Path) -> None:
    hub = trained / "hub"
    joint, salts, oxides = (
        TrainingCrystals.load(hub / f"{name}.training_crystals.npz") for name in ("toy", "toy_salts", "toy_oxides")
    )
    assert joint.properties == ("difference", "hardness", "gap")
    assert (len(salts.parts), len(oxides.parts), len(joint.parts)) == (120, 40, 160)
    assert joint.has_value.sum(0).tolist() == [120, 80, 40]
    assert load_expert(hub / "toy_backbone.yaml").card.target == "difference, hardness, gap"
    assert load_expert(hub / "toy_full_oxides_gap.yaml").card.training_crystals == "toy_oxides.training_crystals.npz"


def test_a_module_that_is_added_leaves_all_others_as_they_are(trained: Path, data: Path, tmp_path: Path) -> None:
    small = write_hub_recipe(
        tmp_path, sources={"salts": {"targets": ["difference"]}}, backbone={"expert": "toy_backbone"}
    )
    hub = tmp_path / "hub"
    hub.mkdir()
    for name, content in read(trained / "hub").items():
        (hub / name).write_bytes(content)
    (hub / "toy_full_salts_difference.yaml").unlink()
    before = read(hub)
    cards = train_hub(tmp_path, data, recipe=small, only="toy_full_*")
    assert list(cards) == ["toy_full_salts_difference"]
    after = read(hub)
    changed = {name for name in before if after[name] != before[name]}
    assert changed <= {"toy_full_salts_difference.safetensors", "toy_salts.training_crystals.npz"}
    # It was trained from the same backbone on the same crystals: it is the same module again.
    assert after["toy_full_salts_difference.safetensors"] == before["toy_full_salts_difference.safetensors"]
    original = load_expert(trained / "hub" / "toy_full_salts_difference.yaml").card
    assert cards["toy_full_salts_difference"].digest == original.digest


def test_modules_of_an_expert_of_the_package(data: Path, tmp_path: Path) -> None:
    recipe = write_hub_recipe(
        tmp_path,
        sources={"salts": {"targets": ["difference"], "max_crystals": 40}},
        backbone={"expert": "chgnet_conv4"},
        adapter={"bottleneck": 2, "max_epochs": 1, "batch_size": 16, "learning_rate": 0.003},
    )
    cards = train_hub(tmp_path, data, recipe=recipe, only="toy_adapter_*")
    card = cards["toy_adapter_salts_difference"]
    assert card.module == ModuleOrigin("adapter", "chgnet_conv4", "chgnet 0.4.2")
    assert card.settings == {"adapter": 2}
    chgnet = load_expert("chgnet_conv4").card
    assert card.license == f"{chgnet.license}; salts licence"
    assert card.citation == f"{chgnet.citation}; who made salts"
    assert card.weights_file is not None
    assert card.weights_file.stat().st_size < 10_000
    structures, _ = read_structures(data / "tasks" / "task.parquet")
    moved = load_expert(card.path).embed(structures) - load_expert("chgnet_conv4").embed(structures)
    assert 0 < np.abs(moved).max() < np.inf


def test_crystals_of_the_tasks_are_left_out(data: Path, tmp_path: Path) -> None:
    backbone = {**HUB["backbone"], "max_epochs": 1}
    recipe = write_hub_recipe(tmp_path, exclude=["tasks"], backbone=backbone)
    card = train_hub(tmp_path, data, recipe=recipe, only="toy_backbone")["toy_backbone"]
    assert card.source["left_out"] == {"excluded": 12, "beyond_the_cap": 74}  # type: ignore[index]
    crystals = TrainingCrystals.load(tmp_path / "hub" / "toy.training_crystals.npz")
    assert not {f"id-{number}" for number in range(6)} & set(crystals.material_ids)


def test_a_held_out_crystal_is_recognised_by_formula_and_volume(data: Path) -> None:
    structures, _ = read_structures(data / "tasks" / "task.parquet")
    held_out = HeldOut.read([data / "tasks"])
    for structure in structures:
        assert structure in held_out
        assert structure.make_supercell(2, in_place=False) in held_out
    wide = structures[0].copy()
    wide.scale_lattice(1.3 * wide.volume)
    assert wide not in held_out
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere with crystals to leave out"):
        HeldOut.read([data / "nowhere"])


def test_a_missing_backbone_and_an_unknown_training_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CardError, match=r"train it first \(--only toy_backbone"):
        train_hub(tmp_path, data, only="toy_full_*")
    command = ["pretrain", str(write_hub_recipe(tmp_path)), "--data", str(data), "--output", str(tmp_path / "hub")]
    assert main([*command, "--only", "toy_half_*"]) == 1
    assert "hub toy has no training toy_half_*; it has toy_backbone, toy_full_salts" in capsys.readouterr().err
    magpie = write_hub_recipe(tmp_path, backbone={"expert": "magpie"})
    with pytest.raises(ValueError, match="magpie has no encoder with weights"):
        train_hub(tmp_path, data, recipe=magpie)


def test_only_the_sources_of_the_chosen_modules_are_read(trained: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "data").mkdir()
    for path in (trained / "hub").glob("toy_backbone.*"):
        shutil.copy(path, tmp_path / "hub")
    shutil.copy(data / "oxides.parquet", tmp_path / "data")
    cards = train_hub(tmp_path, tmp_path / "data", only="toy_full_oxides_*")
    original = load_expert(trained / "hub" / "toy_full_oxides_gap.yaml").card
    assert cards["toy_full_oxides_gap"].digest == original.digest
