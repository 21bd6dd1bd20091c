import itertools
import logging

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from ase.data import atomic_numbers
from pymatgen.core import Lattice, Structure
from pytorch_lightning.callbacks import Callback

from moe_mat.cli.main import main
from moe_mat.crystals.structures import structure_from_arrays
from moe_mat.crystals.training_crystals import TrainingCrystals, formula_hash, part_of
from moe_mat.pretrain.batches import pack
from moe_mat.pretrain.cgcnn import CGCNNProperty
from moe_mat.pretrain.hub_recipes import is_hub
from moe_mat.pretrain.networks import PropertyNetworks
from moe_mat.pretrain.recipes import RecipeError, evaluate_expression, expression_columns, read_recipe
from moe_mat.pretrain.run import pretrain
from moe_mat.zoo.card_files import zoo_folder
from moe_mat.zoo.experts import load_expert
from moe_mat.zoo.find import find_cards

CATIONS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ga", "Ti", "V", "Fe", "Ni"]
ANIONS = ["O", "S", "Se", "F", "Cl", "Br", "N", "P"]

RECIPE = {
    "name": "toy",
    "dataset": "Made-up binaries",
    "file": "toy.parquet",
    "license": "CC0",
    "citation": "nobody",
    "targets": {
        "hardness": {"unit": "GPa", "transform": "log", "keep": ["0 < hardness < 900"]},
        "difference": {"property": "z_difference", "value": "z_cation - z_anion", "limits": [None, 30]},
    },
    "networks": {
        "trunk": ["magpie"],
        "max_epochs": 6,
        "batch_size": 16,
        "body": [32, 16],
        "tower": [8],
        "groups": {"all": ["hardness", "difference"]},
    },
    "cgcnn": {
        "max_epochs": 6,
        "batch_size": 16,
        "learning_rate": 0.01,
        "encoder": {"width": 16, "n_convolutions": 2},
        "targets": ["difference"],
    },
}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.getbasetemp() / "pretrain_cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Binaries in the rocksalt and the caesium chloride structure; their values depend on the elements."""
    folder = tmp_path_factory.mktemp("source")
    rows = []
    for number, (cation, anion, packing) in enumerate(itertools.product(CATIONS, ANIONS, ("rocksalt", "CsCl"))):
        a = 3.0 + 0.01 * (atomic_numbers[cation] + atomic_numbers[anion])
        lattice = Lattice([[0, a, a], [a, 0, a], [a, a, 0]]).matrix / 1.4 if packing == "rocksalt" else np.eye(3) * a
        rows.append(
            {
                "lattice_vectors": np.asarray(lattice).tolist(),
                "cartesian_site_positions": [[0.0, 0.0, 0.0], (np.asarray(lattice).sum(0) / 2).tolist()],
                "species_at_sites": [cation, anion],
                "material_id": f"toy-{number}",
                "z_cation": float(atomic_numbers[cation]),
                "z_anion": float(atomic_numbers[anion]),
                "hardness": float(np.exp(atomic_numbers[anion] / 10)),
            }
        )
    rows[0]["hardness"] = -3.0  # refused by keep
    rows[1]["hardness"] = float("nan")
    for name in ("hardness", "z_cation"):
        rows[2][name] = float("nan")  # no target left
    rows[3]["species_at_sites"] = ["Li", "Nonsense"]
    pd.DataFrame(rows).to_parquet(folder / "toy.parquet")
    return folder


@pytest.fixture
def recipe(tmp_path):
    def write(**changes):
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(RECIPE | changes))
        return path

    return write


def run(recipe, data, tmp_path, **options):
    options = {"output": tmp_path / "zoo", "runs": tmp_path / "runs", "trainer": {"logger": False}} | options
    return {card.tag: card for card in pretrain(recipe, data=data, **options)}


def structures_of(data):
    rows = pd.read_parquet(data / "toy.parquet").iloc[10:20]
    columns = ("lattice_vectors", "species_at_sites", "cartesian_site_positions")
    return [
        structure_from_arrays(np.stack(a), list(b), np.stack(c))
        for a, b, c in zip(*(rows[n] for n in columns), strict=True)
    ]


class _Stop(Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 3:
            raise RuntimeError("killed")


class _Count(Callback):
    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, module):
        self.epochs.append(trainer.current_epoch)


class _Keep(Callback):
    """Holds on to the module, which pretrain does not return."""

    def setup(self, trainer, module, stage):
        self.module = module


def test_networks_beat_the_median_and_their_experts_are_the_trained_module(recipe, data, tmp_path):
    keep = _Keep()
    cards = run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "callbacks": [keep]})
    assert list(cards) == ["toy_body_all", "toy_hardness", "toy_difference", "toy_predictions"]
    for name in ("hardness", "difference"):
        metrics = cards[f"toy_{name}"].metrics
        assert metrics["validation_mae"] < 0.6 * metrics["validation_median_mae"]
        assert metrics["test_mae"] < 0.8 * metrics["test_median_mae"]

    structures = structures_of(data)
    trunk = torch.from_numpy(load_expert("magpie").embed(structures))
    assert isinstance(keep.module, PropertyNetworks)
    module = keep.module.eval()
    with torch.no_grad():
        body = module.bodies[0](trunk)
        expected = {"toy_body_all": body, "toy_difference": module.towers[1](body), "toy_predictions": module(trunk)}
    for tag, values in expected.items():
        embedded = load_expert(tmp_path / "zoo" / f"{tag}.yaml").embed(structures)
        np.testing.assert_allclose(embedded, values.numpy(), atol=1e-6)
    # The predictions are what their name says: ln of the hardness in GPa, standardised.
    hardness = np.exp(module.predict_transformed(trunk)[:, 0].detach().numpy())
    true = pd.read_parquet(data / "toy.parquet")["hardness"].iloc[10:20]
    assert np.corrcoef(hardness, true)[0, 1] > 0.8


def test_cgcnn_expert_is_the_trained_encoder(recipe, data, tmp_path):
    keep = _Keep()
    cards = run(recipe(), data, tmp_path, only=["cgcnn_*"], trainer={"logger": False, "callbacks": [keep]})
    card = cards["cgcnn_toy_difference"]
    assert card.metrics["validation_mae"] < 0.7 * card.metrics["validation_median_mae"]
    assert isinstance(keep.module, CGCNNProperty)
    module, structures = keep.module.eval(), structures_of(data)
    batch = module.encoder.collate([module.encoder.prepare(structure) for structure in structures])
    embedded = load_expert(tmp_path / "zoo").embed(structures)
    assert embedded.shape == (10, 16)
    np.testing.assert_allclose(embedded, module.embed(batch).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("only", ["toy_networks", "cgcnn_toy_difference"])
def test_a_killed_run_goes_on_and_a_rerun_repeats(recipe, data, tmp_path, only):
    whole = run(recipe(), data, tmp_path / "whole", only=only)
    again = run(recipe(), data, tmp_path / "again", only=only)
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe(), data, tmp_path / "killed", only=only, trainer={"logger": False, "callbacks": [_Stop()]})
    assert not list((tmp_path / "killed" / "zoo").glob("*.yaml"))
    count = _Count()
    options = {"logger": False, "callbacks": [count]}
    resumed = run(recipe(), data, tmp_path / "killed", only=only, trainer=options)
    assert count.epochs == [3, 4, 5]
    for tag, card in whole.items():
        assert again[tag].weights == resumed[tag].weights == card.weights
        assert again[tag].metrics == resumed[tag].metrics == card.metrics
        assert resumed[tag].training["epochs"] == 6


def test_a_finished_run_is_exported_again_and_a_changed_recipe_is_another_run(recipe, data, tmp_path, caplog):
    first = run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "max_epochs": 1})
    count = _Count()
    options = {"logger": False, "max_epochs": 1, "callbacks": [count]}
    with caplog.at_level(logging.INFO):
        second = run(recipe(), data, tmp_path, only="toy_networks", trainer=options)
    assert count.epochs == []
    assert "going on from" in caplog.text
    assert first["toy_hardness"].weights == second["toy_hardness"].weights
    caplog.clear()
    other = run(recipe(seed=1), data, tmp_path, only="toy_networks", trainer={"logger": False, "max_epochs": 1})
    assert "going on from" not in caplog.text
    assert other["toy_hardness"].weights != first["toy_hardness"].weights
    assert other["toy_hardness"].training["settings"]["max_epochs"] == 1


def test_cards_tell_data_cleaning_and_settings(recipe, data, tmp_path):
    run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "max_epochs": 1})
    cards = {card.tag: card for card in find_cards(str(tmp_path / "zoo"))}  # valid, and its trunk is found
    card = cards["toy_hardness"]
    assert (card.target, card.unit, card.license, card.citation) == ("hardness", "GPa", "CC0", "nobody")
    assert cards["toy_body_all"].target == "hardness, z_difference"
    # One crystal has no target, one a species that does not exist.
    assert card.source["crystals"] == 238
    assert card.source["left_out"] == {"without_value": 1, "unusable": 1}
    told = card.training["targets"]["hardness"]
    assert told["cleaning"] == {"values": 237, "removed, not 0 < hardness < 900": 1}
    assert sum(told["rows"].values()) == 236
    difference = cards["toy_difference"].training["targets"]["difference"]
    frame = pd.read_parquet(data / "toy.parquet").drop(index=3)
    assert difference["cleaning"]["set to 30 from above"] == int((frame["z_cation"] - frame["z_anion"] > 30).sum())
    assert card.training["seed"] == 0
    assert card.training["settings"]["tower"] == [8]


def test_the_file_finds_the_training_crystals(recipe, data, tmp_path):
    card = run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "max_epochs": 1})[
        "toy_hardness"
    ]
    prints = TrainingCrystals.load(tmp_path / "zoo" / card.training_crystals)
    assert len(prints.material_ids) == 238
    assert (np.diff(prints.formulas.astype(object)) >= 0).all()
    seen = prints.trained_on(["hardness"])
    assert int(seen.sum()) == card.training["targets"]["hardness"]["rows"]["train"]
    for name in prints.material_ids[seen]:
        assert part_of(name, fractions=(0.8, 0.1, 0.1), seed=0) == 0
    assert "toy-0" not in prints.material_ids[seen]  # its value was removed
    sites = [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]
    structure = Structure(Lattice.cubic(4), ["K", "K", "Br", "Br"], sites)
    assert int((prints.formulas == formula_hash(structure)).sum()) == 2  # both packings of KBr
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes((tmp_path / "zoo" / card.training_crystals).read_bytes()[:200])
    with pytest.raises(ValueError, match=r"damaged\.npz is not a usable file of training crystals"):
        TrainingCrystals.load(damaged)


def test_expressions_are_arithmetic_and_nothing_else():
    table = pd.DataFrame({"x": [1.0, 2.0, np.nan], "y": [4.0, 0.0, 1.0]})
    np.testing.assert_array_equal(evaluate_expression("-x**2 / y + 1", table), [0.75, np.nan, np.nan])
    np.testing.assert_array_equal(evaluate_expression("0.5 < x < 1.5", table), [1, 0, np.nan])
    for hostile in ("__import__('os').system('true')", "x.__class__", "x[0]", "lambda: x", "'a' * 10", "x if y else x"):
        with pytest.raises(RecipeError, match="only columns, numbers"):
            expression_columns(hostile)
    with pytest.raises(RecipeError, match="is not an expression"):
        expression_columns("1 <")


def test_batches_are_balanced_and_whole():
    sizes = torch.randint(1, 50, (300,), generator=torch.Generator().manual_seed(0))
    rows = torch.randperm(300)[:200]
    batches = pack(rows, sizes, n_batches=13)
    assert torch.equal(torch.cat(batches), rows)
    totals = torch.tensor([int(sizes[batch].sum()) for batch in batches])
    assert len(batches) == 13
    assert totals.max() - totals.min() < 100
    # One crystal as large as all the others leaves none of the batches empty.
    for heavy in range(5):
        sizes = torch.ones(5)
        sizes[heavy] = 1e6
        assert [len(batch) > 0 for batch in pack(torch.arange(5), sizes, n_batches=4)] == [True] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"targets": {"hardness": {"transform": "log"}}, "networks": None},
            "1 values plus the shift 0",
        ),
        ({"file": "other.parquet"}, "there is no .*other.parquet; name the folder"),
        ({"targets": {"hardnes": None}}, "no column 'hardnes': did you mean 'hardness'"),
        ({"targets": {"hardness": {"keep": ["hardness > 1e9"]}}}, "target hardness has no train value"),
        ({"targets": {"hardness": {"keep": ["hardness > open('x')"]}}}, "only columns, numbers"),
        ({"targets": {"hardness": {"units": "GPa"}}}, "targets.hardness: .*'units' was unexpected"),
        ({"cgcnn": {"targets": ["softness"]}}, "softness: no such target; there are hardness"),
        ({"networks": {"trunk": ["nobody"], "groups": {"all": ["hardness"]}}}, "nobody.yaml"),
    ],
)
def test_what_is_wrong_is_named(recipe, data, tmp_path, changes, message):
    target = next(iter(changes.get("targets", {"hardness": None})))
    content = {"targets": {target: {"keep": ["hardness > 0"]}}, "cgcnn": {"targets": [target], "max_epochs": 1}}
    content |= {"networks": {"trunk": ["magpie"], "groups": {"all": [target]}}} | changes
    base = {name: value for name, value in (RECIPE | content).items() if value is not None}
    path = recipe()
    path.write_text(yaml.safe_dump(base))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(path, data, tmp_path)


def test_unknown_training_and_trainer_option(recipe, data, tmp_path):
    with pytest.raises(RecipeError, match="has no training softness; it has toy_networks, cgcnn_toy_difference"):
        run(recipe(), data, tmp_path, only="softness")
    with pytest.raises(ValueError, match=r"--trainer: .*'gpus'"):
        run(recipe(), data, tmp_path, only="toy_networks", trainer={"gpus": 1})


def test_command_line(recipe, data, tmp_path, capsys):
    options = ["--output", str(tmp_path / "zoo"), "--runs", str(tmp_path / "runs"), "--trainer.max_epochs", "1"]
    command = ["pretrain", str(recipe()), "--data", str(data), "--only", "toy_networks", *options]
    assert main(command) == 0
    assert "4 experts in" in capsys.readouterr().out
    assert main(["pretrain", str(recipe()), "--data", str(tmp_path / "nowhere"), *options]) == 1
    assert "toy.parquet; name the folder" in capsys.readouterr().err


def test_a_recipe_may_take_over_the_source_of_another(recipe, data, tmp_path):
    path = recipe()
    other = tmp_path / "other.yaml"
    content = {"name": "other", "source": "toy", "networks": {"trunk": ["magpie"], "groups": {"all": ["hardness"]}}}
    other.write_text(yaml.safe_dump(content))
    ours, theirs = read_recipe(other), read_recipe(path)
    assert (ours.name, ours.file, ours.citation, ours.cgcnn) == ("other", theirs.file, theirs.citation, None)
    assert ours.targets == theirs.targets
    cards = run(other, data, tmp_path, trainer={"logger": False, "max_epochs": 1})
    assert cards["other_hardness"].training["targets"]["hardness"]["cleaning"]["removed, not 0 < hardness < 900"] == 1
    for source, message in {"nobody": "nobody.yaml", "other": "source other takes its data from other"}.items():
        other.write_text(yaml.safe_dump(content | {"source": source}))
        with pytest.raises(RecipeError, match=message):
            read_recipe(other)
    other.write_text(yaml.safe_dump(content | {"seed": 3}))  # what it has of its own counts
    assert (read_recipe(other).seed, read_recipe(other).file) == (3, "toy.parquet")


def test_recipes_of_the_package_are_valid():
    paths = [path for path in sorted((zoo_folder() / "recipes").glob("*.yaml")) if not is_hub(path)]
    recipes = {path.stem: read_recipe(path) for path in paths}
    assert {"jarvis", "mp", "boltztrap", "perovskites"} <= set(recipes)
    for name, recipe in recipes.items():
        assert recipe.name == name
        # Targets of the benchmark are never pretrained on.
        assert not any("mbj" in t.value.lower() or "exfoliation" in t.value.lower() for t in recipe.targets.values())
