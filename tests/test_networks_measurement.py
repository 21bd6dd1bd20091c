"""The comparison of networks: every variant on the same splits, and nothing is trained twice."""

import json

import pytest

from benchmarks.measurements import networks
from moe_mat.pretrain import read_source_recipe

RECIPE = networks.RECIPES / "boltztrap.yaml"


def test_variants_differ_from_the_recipe_by_what_they_are_named_after():
    training = read_source_recipe(RECIPE).networks
    tried = networks.variants(training)
    assert tried["as it is"] == training
    assert tried["without SevenNet"].trunk == ("chgnet", "magpie", "structure_features", "local_environment")
    assert tried["with physics"].trunk == (*training.trunk, "symmetry", "packing", "ionic", "polar_springs")
    assert tried["dropout 0.2"].dropout == 0.2
    assert tried["weight decay 0.1"].weight_decay == 0.1


def test_changes_are_of_equal_splits():
    today = {"0": {"mass_n": 0.5, "mass_p": 1.0}, "1": {"mass_n": 1.0, "mass_p": 1.0}}
    other = {"1": {"mass_n": 1.3, "mass_p": 1.1}, "0": {"mass_n": 0.55, "mass_p": 1.0}, "7": {"mass_n": 9, "mass_p": 9}}
    rows = networks.table({"as it is": today, "dropout 0.2": other}, ["mass_n", "mass_p"]).splitlines()[2:]
    assert rows == [
        "| mass n | 0.75 | +20.0 ± 10.0 % |",
        "| mass p | 1 | +5.0 ± 5.0 % |",
        "| mean |  | +12.5 ± 7.5 % |",
    ]


def test_a_measurement_goes_on_where_it_ended(tmp_path, monkeypatch, capsys):
    trained = []

    def measure(recipe, training, *, data):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append((recipe.seed, training.dropout))
        return dict.fromkeys(training.targets, 1.0 + training.dropout)

    monkeypatch.setattr(networks, "measure", measure)
    arguments = ["--recipe", "perovskites", "--seeds", "0", "1", "--output", str(tmp_path)]
    arguments += ["--variants", "dropout 0.2"]  # against the recipe itself, which need not be named
    with pytest.raises(KeyboardInterrupt):
        networks.main(arguments)
    assert trained == [(0, 0.05), (0, 0.2), (1, 0.05)]
    trained.clear()
    assert networks.main(arguments) == 0
    assert trained == [(1, 0.2)]
    assert json.loads((tmp_path / "perovskites.json").read_text())["errors"].keys() == {"as it is", "dropout 0.2"}
    assert "| formation energy | 1.05 | +14.3 ± 0.0 % |" in capsys.readouterr().out


def test_other_groups_of_properties_are_measured_too(tmp_path, monkeypatch):
    trained = []

    def measure(recipe, training, *, data):
        trained.append(training.targets)
        return dict.fromkeys(training.targets, 1.0)

    monkeypatch.setattr(networks, "measure", measure)
    arguments = ["--recipe", "jarvis", "--seeds", "0", "--variants", "as it is", "--output", str(tmp_path)]
    networks.main([*arguments, "--groups", "energy"])
    networks.main([*arguments, "--groups", "energy"])
    networks.main(arguments)
    assert [len(targets) for targets in trained] == [2, 13]


def test_an_unknown_variant_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        networks.main(["--recipe", "jarvis", "--variants", "more dropout", "--output", str(tmp_path)])
    assert "recipe jarvis has no more dropout" in capsys.readouterr().err
