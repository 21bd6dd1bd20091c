"""What experts learned from, and the quantities that it is said in."""

import pytest
import yaml
from toy_experts import cgcnn, write_expert
from toy_sources import SOURCE, trained_expert, write_crystals, write_source, write_training_crystals

from moe_mat.audit.exposure import EXPERTS_OF_POTENTIALS, UnlistedSet, exposure_of
from moe_mat.audit.quantities import (
    COMPUTED_FROM,
    QUANTITIES,
    RELATED,
    determines,
    find_quantity,
    is_related,
    quantity_of,
)
from moe_mat.cli.main import main
from moe_mat.crystals.training_crystals import TrainingCrystals
from moe_mat.encoders.physics.load_potential import CHGNET, SEVENNET
from moe_mat.pretrain.expressions import expression_columns
from moe_mat.pretrain.recipes import read_source_recipe
from moe_mat.tasks import TaskCards
from moe_mat.zoo.card_files import zoo_folder
from moe_mat.zoo.find import find_cards

READOUT = {"layers": ["conv2"]}


@pytest.fixture
def zoo(tmp_path):
    """Folder of experts and of the source that they were trained on."""
    return write_source(tmp_path)


# What experts learned from -------------------------------------------------------------------------------------------


def test_network_has_learned_what_its_trunk_has(zoo):
    values = {name: [1.0, 1.0] for name in ("band_gap_pbe", "bulk_modulus_kv")}
    write_training_crystals(zoo / "zoo" / "toy.training_crystals.npz", SOURCE, values=values)
    package = {"package": "chgnet", "version": "0.4.2"}
    unknown = write_expert(
        zoo / "zoo", "unknown", None, weights=package, encoder="chgnet", readout=READOUT, dim=8, source="MPtrj"
    )
    body = trained_expert(zoo / "zoo", "body", trunk=unknown, target="band_gap_pbe, bulk_modulus_kv")
    tower = trained_expert(zoo / "zoo", "tower", trunk=body, target="band_gap_pbe")
    exposure = exposure_of(tower)
    assert exposure == exposure_of(body)
    assert exposure.quantities == ("band_gap", "bulk_modulus")
    assert exposure.unlisted == (UnlistedSet("MPtrj"),)


def test_unknown_sources_are_neither_clean_nor_descriptors(zoo, capsys):
    imported = write_expert(
        zoo / "zoo", "imported", cgcnn(), encoder="cgcnn", readout=READOUT, dim=8, source="imported from x", settings={}
    )
    nameless = write_expert(zoo / "zoo", "nameless", cgcnn(), encoder="cgcnn", readout=READOUT, dim=8)
    assert exposure_of(imported).unlisted == (UnlistedSet("imported from x"),)
    assert exposure_of(nameless).unlisted == (UnlistedSet("the card of nameless names no source"),)
    for tag in ("magpie", "structure_features", "symmetry"):
        (card,) = find_cards(tag)
        assert exposure_of(card) == exposure_of(
            write_expert(zoo / "other", "e", None, encoder="x", readout=READOUT, dim=8)
        )
    path = write_crystals(zoo / "own.parquet", SOURCE, gap=[1.0, 2.0])
    arguments = ["audit", str(path), "--target", "gap", "--experts", f"[{imported.path},magpie]"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith(" imported (1)")).split()[2:] == ["?"] * 4
    assert next(line for line in lines if line.startswith(" magpie")).split()[1:] == ["-"] * 4
    assert "    no training targets" in lines
    assert "    (1) imported from x: properties that its card does not name" in lines


def test_networks_have_learned_what_the_potentials_in_their_trunks_have():
    cards = {card.tag: card for card in find_cards(["default", "strict_*"])}
    chgnet, sevennet = (exposure_of(cards[tag]).unlisted for tag in ("chgnet", "sevennet_mf0"))
    assert [one.quantities for one in chgnet] == [("energy", "forces", "magnetic_moment", "stress")]
    assert [one.quantities for one in sevennet] == [("energy", "forces", "stress")]
    for tag, card in cards.items():
        if tag.startswith(("jarvis_", "mp_", "strict_")):
            assert exposure_of(card).unlisted == (*chgnet, *sevennet), tag
            assert exposure_of(card).may_tell("formation_energy")
            assert not exposure_of(card).may_tell("band_gap")


def test_physics_has_learned_what_its_potential_has():
    (stack, sevennet, springs) = find_cards(["layer_stack", "sevennet0", "polar_springs"])
    assert exposure_of(stack) == exposure_of(sevennet)
    assert exposure_of(stack).may_tell("exfoliation_energy")
    assert exposure_of(springs) == exposure_of(find_cards("magpie")[0])
    assert {*EXPERTS_OF_POTENTIALS} == {*SEVENNET, *CHGNET}


def test_a_source_that_does_not_say_what_was_learned_may_tell_anything():
    assert UnlistedSet("x").may_tell("band_gap")
    assert UnlistedSet("x", ("how hard it is",)).may_tell("band_gap")
    assert not UnlistedSet("x", ("forces",)).may_tell("band_gap")


def test_merged_module_has_learned_what_its_parts_have(zoo):
    trained_expert(zoo / "zoo", "part")
    weights = {"file": "merged.safetensors", "sha256": "0" * 64}
    given = {"weights": weights, "encoder": "cgcnn", "readout": READOUT, "dim": 8}
    merged = write_expert(zoo / "zoo", "merged", None, training={"merged": {"part": 1.0}}, **given)
    assert exposure_of(merged).quantities == ("band_gap",)
    assert not exposure_of(merged).unlisted
    lost = write_expert(zoo / "zoo", "lost", None, training={"merged": {"part": 0.5, "gone": 0.5}}, **given)
    assert exposure_of(lost).unlisted


# Quantities ----------------------------------------------------------------------------------------------------------


def source_recipes():
    paths = (zoo_folder() / "recipes").glob("*.yaml")
    found = [read_source_recipe(path) for path in paths if "targets" in yaml.safe_load(path.read_text())]
    assert len(found) >= 4
    return found


def test_vocabulary_knows_all_recipes_tasks_and_experts():
    properties = {target.property for recipe in source_recipes() for target in recipe.targets.values()}
    properties |= {name for card in find_cards("*") if card.target for name in card.target.split(", ")}
    assert {name for name in properties if quantity_of(name) not in QUANTITIES} == set()
    tasks = {card.name: card.quantity for card in TaskCards().find()}
    assert set(tasks.values()) <= set(QUANTITIES)
    assert tasks["jarvis_2d_gap_tbmbj"] == quantity_of("band_gap_optb88vdw")


def test_targets_of_the_benchmark_are_in_no_recipe_and_no_expert():
    names = set()
    for recipe in source_recipes():
        for target in recipe.targets.values():
            names |= {target.name, target.property, *target.columns()}
    for card in find_cards("*"):
        names |= {card.target or "", *card.training.get("targets", {})}
        for target in card.training.get("targets", {}).values():
            names |= set(expression_columns(target["value"]))
    for path in zoo_folder().glob("*.npz"):
        names |= set(TrainingCrystals.load(path).properties)
    assert len(names) > 20
    assert [name for name in names if "mbj" in name.lower() or "exfoliation" in name.lower()] == []


@pytest.mark.parametrize(
    ("learned", "told"),
    [
        ("K_VRH", {"shear_modulus", "poisson_ratio", "elastic_anisotropy"}),
        ("poisson", {"bulk_modulus", "shear_modulus"}),
        ("universal_anisotropy", {"elastic_constants"}),
        ("e_form", {"energy", "energy_above_hull", "exfoliation_energy"}),
        ("ehull", {"energy", "formation_energy", "exfoliation_energy"}),
        ("energy", {"formation_energy", "energy_above_hull", "exfoliation_energy"}),
        ("exfoliation_en", set()),
        ("refractive_index", {"eps_total"}),
        ("eps_electronic", {"refractive_index"}),
        ("forces", set()),
    ],
)
def test_what_is_learned_tells_what_follows_from_it(learned, told):
    names = [*QUANTITIES, "refractive_index", "eps_total"]
    follows = {name for name in names if determines(quantity_of(learned), quantity_of(name))}
    assert told <= follows
    assert not follows & (
        {"band_gap", "phonon_frequency", *RELATED, *COMPUTED_FROM} - told - {quantity_of(learned)}
    ) - {
        "young_modulus",
        "elastic_constants",
    }


def test_second_derivatives_of_an_energy_are_related_and_not_told():
    for name in ("phonon_frequency", "bulk_modulus", "shear_modulus", "poisson_ratio", "elastic_anisotropy"):
        assert is_related("forces", name)
        assert not determines("forces", name)
    assert not any(is_related("energy", name) for name in ("band_gap", "dielectric_constant", "formation_energy"))
    assert {*RELATED, *COMPUTED_FROM} <= {*QUANTITIES}
    assert {name for names in (*RELATED.values(), *COMPUTED_FROM.values()) for name in names} <= {*QUANTITIES}


def test_unknown_quantity_is_explained():
    assert find_quantity("Gap") == find_quantity("band_gap_pbe") == "band_gap"
    assert find_quantity("hardness", known=["hardness"]) == "hardness"
    with pytest.raises(ValueError, match="Did you mean band_gap"):
        find_quantity("band_gapp")
