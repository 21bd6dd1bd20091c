"""Pretraining of a hub: a joint backbone, modules that start from it, and growth that leaves the old ones alone."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from ase.data import atomic_numbers
from safetensors.torch import load_file

from moe_mat.cli.main import main
from moe_mat.crystals.held_out import HeldOut
from moe_mat.crystals.readers import read_structures
from moe_mat.crystals.training_crystals import TrainingCrystals
from moe_mat.moma.merging import merge
from moe_mat.pretrain.hub_recipes import is_hub, read_hub
from moe_mat.pretrain.recipes import RecipeError
from moe_mat.pretrain.run import pretrain
from moe_mat.zoo.card_files import CardError, zoo_folder
from moe_mat.zoo.card_parts import ModuleOrigin
from moe_mat.zoo.cards import ExpertCard, ModuleCard
from moe_mat.zoo.experts import load_expert

METALS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Zn", "Al", "Ti", "Fe", "Ni"]
OTHERS = ["O", "S", "F", "Cl", "N"]

SOURCES: dict[str, dict[str, Any]] = {
    "salts": {"targets": {"difference": {"unit": "e"}, "hardness": {"transform": "log"}}},
    "oxides": {"targets": {"gap": {"unit": "eV"}}},
}
HUB: dict[str, Any] = {
    "name": "toy",
    "sources": {"salts": {"targets": ["difference", "hardness"]}, "oxides": {"targets": ["gap"], "max_crystals": 40}},
    "backbone": {
        "encoder": {"width": 12, "n_convolutions": 2},
        "max_epochs": 6,
        "batch_size": 16,
        "learning_rate": 0.01,
    },
    "full": {"max_crystals": 50, "max_epochs": 3, "batch_size": 16, "learning_rate": 0.003},
    "adapter": {"bottleneck": 2, "max_epochs": 3, "batch_size": 16, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources of binaries in the caesium chloride structure."""
    folder = tmp_path_factory.mktemp("sources")
    rows = []
    for number, (metal, other, factor) in enumerate(itertools.product(METALS, OTHERS, (0.9, 1.1))):
        a = factor * (3.0 + 0.02 * (atomic_numbers[metal] + atomic_numbers[other]))
        rows.append(
            {
                "lattice_vectors": (np.eye(3) * a).tolist(),
                "cartesian_site_positions": [[0.0, 0.0, 0.0], [a / 2] * 3],
                "species_at_sites": [metal, other],
                "material_id": f"id-{number}",
                "difference": float(atomic_numbers[metal] - atomic_numbers[other]),
                "hardness": float(np.exp(atomic_numbers[other] / 10)),
                "gap": float(5 / a),
            }
        )
    table = pd.DataFrame(rows)
    salts = table.drop(columns="gap")
    salts.loc[salts.index % 3 == 0, "hardness"] = np.nan
    salts.to_parquet(folder / "salts.parquet")
    table.drop(columns=["difference", "hardness"]).to_parquet(folder / "oxides.parquet")
    (folder / "tasks").mkdir()
    table[:6].to_parquet(folder / "tasks" / "task.parquet")
    return folder


def write_recipe(folder: Path, **changes: Any) -> Path:
    """The recipes of both sources, and that of the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in SOURCES.items():
        recipe = {"name": name, "dataset": f"Made-up {name}", "file": f"{name}.parquet", "license": f"{name} licence"}
        cgcnn = {"targets": list(entry["targets"])}
        text = yaml.safe_dump({**recipe, "citation": f"who made {name}", **entry, "cgcnn": cgcnn}, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text)
    (folder / "toy.yaml").write_text(yaml.safe_dump({**HUB, **changes}, sort_keys=False))
    return folder / "toy.yaml"


def train(folder: Path, data: Path, *, only: Any = "*", recipe: Path | None = None) -> dict[str, ExpertCard]:
    recipe = recipe or write_recipe(folder)
    options = {"output": folder / "hub", "runs": folder / "runs", "trainer": {"logger": False}}
    return {card.tag: card for card in pretrain(recipe, data=data, only=only, **options)}


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole hub; tests that change it work on copies."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, data)
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
        assert card.metrics["validation_mae"] < 0.9 * card.metrics["validation_median_mae"], tag
        assert isinstance(card, ModuleCard)
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
    small = write_recipe(tmp_path, sources={"salts": {"targets": ["difference"]}}, backbone={"expert": "toy_backbone"})
    hub = tmp_path / "hub"
    hub.mkdir()
    for name, content in read(trained / "hub").items():
        (hub / name).write_bytes(content)
    (hub / "toy_full_salts_difference.yaml").unlink()
    before = read(hub)
    cards = train(tmp_path, data, recipe=small, only="toy_full_*")
    assert list(cards) == ["toy_full_salts_difference"]
    after = read(hub)
    changed = {name for name in before if after[name] != before[name]}
    assert changed <= {"toy_full_salts_difference.safetensors", "toy_salts.training_crystals.npz"}
    # It was trained from the same backbone on the same crystals: it is the same module again.
    assert after["toy_full_salts_difference.safetensors"] == before["toy_full_salts_difference.safetensors"]
    original = load_expert(trained / "hub" / "toy_full_salts_difference.yaml").card
    assert cards["toy_full_salts_difference"].digest == original.digest


def test_modules_of_an_expert_of_the_package(data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path,
        sources={"salts": {"targets": ["difference"], "max_crystals": 40}},
        backbone={"expert": "chgnet_conv4"},
        adapter={"bottleneck": 2, "max_epochs": 1, "batch_size": 16, "learning_rate": 0.003},
    )
    cards = train(tmp_path, data, recipe=recipe, only="toy_adapter_*")
    card = cards["toy_adapter_salts_difference"]
    assert isinstance(card, ModuleCard)
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
    recipe = write_recipe(tmp_path, exclude=["tasks"], backbone=backbone)
    card = train(tmp_path, data, recipe=recipe, only="toy_backbone")["toy_backbone"]
    assert card.source["left_out"] == {"excluded": 12, "beyond_the_cap": 74}  # type: ignore[index]
    prints = TrainingCrystals.load(tmp_path / "hub" / "toy.training_crystals.npz")
    assert not {f"id-{number}" for number in range(6)} & set(prints.material_ids)


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


def test_a_source_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    sources = {"salts": {"targets": ["hardness"], "max_atoms": 40}, "oxides": {"targets": ["gap"]}}
    hub = read_hub(write_recipe(tmp_path, sources=sources, max_atoms=20))
    assert [source.max_atoms for source in hub.sources.values()] == [40, 20]
    assert not isinstance(hub.backbone, str)
    assert hub.backbone.max_atoms == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": {"salts": {"targets": ["gap"]}}}, "source salts has no target gap; it has difference, hardness"),
        ({"sources": {"nobody": {"targets": ["gap"]}}}, "cannot read the recipe .*nobody.yaml"),
        ({"adapter": {"max_epochs": 3}}, "adapter: 'bottleneck' is a required property"),
        ({"backbone": {"width": 3}}, "backbone: .* is not valid under any of the given schemas"),
        ({"exclude": ["nowhere"]}, "there is no .*nowhere with crystals"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_named(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((RecipeError, FileNotFoundError), match=message):
        train(tmp_path, data, recipe=write_recipe(tmp_path, **changes))


def test_a_missing_backbone_and_an_unknown_training_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CardError, match=r"train it first \(--only toy_backbone"):
        train(tmp_path, data, only="toy_full_*")
    command = ["pretrain", str(write_recipe(tmp_path)), "--data", str(data), "--output", str(tmp_path / "hub")]
    assert main([*command, "--only", "toy_half_*"]) == 1
    assert "hub toy has no training toy_half_*; it has toy_backbone, toy_full_salts" in capsys.readouterr().err
    magpie = write_recipe(tmp_path, backbone={"expert": "magpie"})
    with pytest.raises(ValueError, match="magpie has no encoder with weights"):
        train(tmp_path, data, recipe=magpie)


def test_only_the_sources_of_the_chosen_modules_are_read(trained: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "data").mkdir()
    for path in (trained / "hub").glob("toy_backbone.*"):
        shutil.copy(path, tmp_path / "hub")
    shutil.copy(data / "oxides.parquet", tmp_path / "data")
    cards = train(tmp_path, tmp_path / "data", only="toy_full_oxides_*")
    original = load_expert(trained / "hub" / "toy_full_oxides_gap.yaml").card
    assert cards["toy_full_oxides_gap"].digest == original.digest


def test_the_hubs_of_the_package_are_named_as_their_files_and_have_eighteen_targets() -> None:
    paths = [path for path in sorted((zoo_folder() / "recipes").glob("*.yaml")) if is_hub(path)]
    hubs = {path.stem: read_hub(path) for path in paths}
    assert {name: hub.name for name, hub in hubs.items()} == {name: name for name in hubs}
    targets = {name: sum(len(source.targets) for source in hub.sources.values()) for name, hub in hubs.items()}
    assert targets == {"cgcnn": 19, "moma": 18, "moma_chgnet": 18}


@pytest.mark.parametrize("name", ["moma", "moma_chgnet"])
def test_modules_of_the_package_see_no_crystal_of_the_benchmark(name: str) -> None:
    hub = read_hub(zoo_folder() / "recipes" / f"{name}.yaml")
    assert hub.exclude == ("../benchmark",)
    assert not {"bulk_modulus", "shear_modulus"} & set(hub.sources["mp"].targets)
