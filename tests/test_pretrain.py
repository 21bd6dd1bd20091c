"""Pretraining: experts are the networks that were trained, runs go on after a kill, and cards say what was done."""

import logging
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from pytorch_lightning.callbacks import Callback
from toy_binaries import RECIPE, run, write_binaries, write_recipe

from moe_mat.cli.main import main
from moe_mat.crystals.structure_arrays import structure_from_arrays
from moe_mat.crystals.training_crystals import TrainingCrystals, formula_hash, part_of
from moe_mat.pretrain.batches import pack
from moe_mat.pretrain.cgcnn import CGCNNProperty
from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.networks import PropertyNetworks
from moe_mat.zoo.experts import load_expert
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.learned_targets import learned_targets
from moe_mat.zoo.weights import WeightsError


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.getbasetemp() / "pretrain_cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_binaries(tmp_path_factory.mktemp("source"))


@pytest.fixture
def recipe(tmp_path):
    return partial(write_recipe, tmp_path)


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
    # And their card says how to get back to it.
    learned = learned_targets(cards["toy_predictions"])[0]
    assert (learned.name, learned.unit) == ("hardness", "GPa")
    np.testing.assert_allclose(learned.in_unit(expected["toy_predictions"][:, 0].numpy()), hardness, rtol=1e-4)


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


def test_a_killed_run_goes_on_in_a_folder_that_was_moved(recipe, data, tmp_path):
    """The best epoch lies before the kill, and its checkpoint is no longer where it was written."""
    changes = {"networks": RECIPE["networks"] | {"learning_rate": 0.2}}
    whole = run(recipe(**changes), data, tmp_path / "whole", only="toy_networks")
    assert whole["toy_hardness"].training["best_epoch"] < 4
    stopped = {"logger": False, "callbacks": [_Stop()]}
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe(**changes), data, tmp_path / "killed", only="toy_networks", trainer=stopped)
    (tmp_path / "killed").rename(tmp_path / "moved")
    moved = run(recipe(**changes), data, tmp_path / "moved", only="toy_networks")
    for tag, card in whole.items():
        assert moved[tag].weights == card.weights


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_damaged_checkpoint_is_refused_by_name(recipe, data, tmp_path, name):
    run(recipe(), data, tmp_path, only="toy_networks")
    (path,) = (tmp_path / "runs").glob(f"*/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} is .* damaged.* without the folder .* begins anew"):
        run(recipe(), data, tmp_path, only="toy_networks")


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


@pytest.mark.parametrize("only", ["toy_networks", "cgcnn_toy_difference"])
def test_workers_change_no_number(recipe, data, tmp_path, only):
    options = {"only": only, "trainer": {"logger": False, "max_epochs": 2}}
    alone = run(recipe(), data, tmp_path / "alone", **options)
    helped = run(recipe(), data, tmp_path / "helped", workers=1, **options)
    assert {tag: card.weights for tag, card in helped.items()} == {tag: card.weights for tag, card in alone.items()}


def test_mixed_precision_is_on_the_card_and_learns(recipe, data, tmp_path):
    cards = run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "precision": "bf16-mixed"})
    card = cards["toy_hardness"]
    assert card.training["settings"]["precision"] == "bf16-mixed"
    assert card.metrics["validation_mae"] < 0.6 * card.metrics["validation_median_mae"]


def test_cards_say_data_cleaning_and_settings(recipe, data, tmp_path):
    run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "max_epochs": 1})
    cards = {card.tag: card for card in find_cards(str(tmp_path / "zoo"))}  # valid, and its trunk is found
    card = cards["toy_hardness"]
    assert (card.target, card.unit, card.license, card.citation) == ("hardness", "GPa", "CC0", "nobody")
    assert cards["toy_body_all"].target == "hardness, z_difference"
    # One crystal has no target, one a species that does not exist.
    assert card.source["crystals"] == 238
    assert card.source["left_out"] == {"without_value": 1, "unusable": 1}
    noted = card.training["targets"]["hardness"]
    assert noted["cleaning"] == {"values": 237, "removed, not 0 < hardness < 900": 1}
    assert sum(noted["rows"].values()) == 236
    difference = cards["toy_difference"].training["targets"]["difference"]
    frame = pd.read_parquet(data / "toy.parquet").drop(index=3)
    assert difference["cleaning"]["set to 30 from above"] == int((frame["z_cation"] - frame["z_anion"] > 30).sum())
    assert card.training["seed"] == 0
    assert card.training["settings"] == {
        "max_atoms": None,
        "max_epochs": 1,
        "patience": None,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "weight_decay": 1e-3,
        "precision": "32-true",
        "trunk": ["magpie"],
        "body": [32, 16],
        "tower": [8],
    }


def test_the_file_finds_the_training_crystals(recipe, data, tmp_path):
    card = run(recipe(), data, tmp_path, only="toy_networks", trainer={"logger": False, "max_epochs": 1})[
        "toy_hardness"
    ]
    crystals = TrainingCrystals.load(tmp_path / "zoo" / card.training_crystals)
    assert len(crystals.material_ids) == 238
    assert (np.diff(crystals.formulas.astype(object)) >= 0).all()
    seen = crystals.trained_on(["hardness"])
    assert int(seen.sum()) == card.training["targets"]["hardness"]["rows"]["train"]
    for name in crystals.material_ids[seen]:
        assert part_of(name, fractions=(0.8, 0.1, 0.1), seed=0) == 0
    assert "toy-0" not in crystals.material_ids[seen]  # its value was removed
    sites = [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]
    structure = Structure(Lattice.cubic(4), ["K", "K", "Br", "Br"], sites)
    assert int((crystals.formulas == formula_hash(structure)).sum()) == 2  # both packings of KBr
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes((tmp_path / "zoo" / card.training_crystals).read_bytes()[:200])
    with pytest.raises(ValueError, match=r"damaged\.npz is not a usable file of training crystals"):
        TrainingCrystals.load(damaged)


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


def test_unknown_training_and_trainer_option(recipe, data, tmp_path):
    with pytest.raises(RecipeError, match="has no training softness; it has toy_networks, cgcnn_toy_difference"):
        run(recipe(), data, tmp_path, only="softness")
    with pytest.raises(ValueError, match=r"--trainer: .*'gpus'"):
        run(recipe(), data, tmp_path, only="toy_networks", trainer={"gpus": 1})
    with pytest.raises(
        ValueError, match=r"--trainer\.precision: '64-true' is not one of 32-true, bf16-mixed, 16-mixed"
    ):
        run(recipe(), data, tmp_path, only="toy_networks", trainer={"precision": "64-true"})
    with pytest.raises(ValueError, match="workers is -1: at least 0 is needed"):
        run(recipe(), data, tmp_path, only="toy_networks", workers=-1)
    with pytest.raises(ValueError, match=r"--trainer\.max_epochs: 'all' is not a number of epochs"):
        run(recipe(), data, tmp_path, only="toy_networks", trainer={"max_epochs": "all"})


def test_command_line(recipe, data, tmp_path, capsys):
    options = ["--output", str(tmp_path / "zoo"), "--runs", str(tmp_path / "runs"), "--trainer.max_epochs", "1"]
    command = ["pretrain", str(recipe()), "--data", str(data), "--only", "toy_networks", *options]
    assert main(command) == 0
    assert "4 experts in" in capsys.readouterr().out
    assert main(["pretrain", str(recipe()), "--data", str(tmp_path / "nowhere"), *options]) == 1
    assert "toy.parquet; name the folder" in capsys.readouterr().err


def test_formulas_that_are_excluded_are_not_trained_on_in_any_structure(data, tmp_path, recipe):
    tasks = pd.read_parquet(data / "toy.parquet").iloc[20:24]  # two formulas in two structures each, and stretched
    tasks["lattice_vectors"] = [[list(1.5 * vector) for vector in vectors] for vectors in tasks["lattice_vectors"]]
    tasks.iloc[::2].to_parquet(data / "tasks.parquet")
    (card, *_) = run(recipe(cgcnn=None, exclude_formulas=["tasks.parquet"]), data, tmp_path).values()
    assert card.source["left_out"]["excluded"] == 4
    crystals = TrainingCrystals.load(tmp_path / "zoo" / card.training_crystals)
    assert not {f"toy-{number}" for number in range(20, 24)} & set(crystals.material_ids)
    assert "toy-24" in crystals.material_ids
