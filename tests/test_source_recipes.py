"""Source recipes: what they say is checked, and what is wrong is named."""

import numpy as np
import pandas as pd
import pytest
import yaml
from toy_binaries import run, write_binaries, write_recipe

from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.expressions import evaluate_expression, expression_columns
from moe_mat.pretrain.hub_recipes import is_hub_recipe
from moe_mat.pretrain.recipes import read_source_recipe
from moe_mat.zoo.card_files import zoo_folder


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.getbasetemp() / "pretrain_cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_binaries(tmp_path_factory.mktemp("source"))


def test_expressions_are_arithmetic_and_nothing_else():
    table = pd.DataFrame({"x": [1.0, 2.0, np.nan], "y": [4.0, 0.0, 1.0]})
    np.testing.assert_array_equal(evaluate_expression("-x**2 / y + 1", table), [0.75, np.nan, np.nan])
    np.testing.assert_array_equal(evaluate_expression("0.5 < x < 1.5", table), [1, 0, np.nan])
    for hostile in ("__import__('os').system('true')", "x.__class__", "x[0]", "lambda: x", "'a' * 10", "x if y else x"):
        with pytest.raises(RecipeError, match="only columns, numbers"):
            expression_columns(hostile)
    with pytest.raises(RecipeError, match="is not an expression"):
        expression_columns("1 <")


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
        ({"cgcnn": {"targets": ["hardness"], "encoder": {"widht": 8}}}, "cgcnn.encoder: .*'widht' was unexpected"),
        ({"cgcnn": {"targets": ["softness"]}}, "softness: no such target; there are hardness"),
        ({"ground_state": "hardness"}, "ground_state is hardness: .* only networks learn from formulas"),
        ({"networks": {"trunk": ["nobody"], "groups": {"all": ["hardness"]}}}, "nobody.yaml"),
    ],
)
def test_what_is_wrong_is_named(data, tmp_path, changes, message):
    target = next(iter(changes.get("targets", {"hardness": None})))
    content = {"targets": {target: {"keep": ["hardness > 0"]}}, "cgcnn": {"targets": [target], "max_epochs": 1}}
    content |= {"networks": {"trunk": ["magpie"], "groups": {"all": [target]}}} | changes
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(write_recipe(tmp_path, **content), data, tmp_path)


def test_a_recipe_may_take_over_the_source_of_another(data, tmp_path):
    path = write_recipe(tmp_path)
    other = tmp_path / "other.yaml"
    content = {"name": "other", "source": "toy", "networks": {"trunk": ["magpie"], "groups": {"all": ["hardness"]}}}
    other.write_text(yaml.safe_dump(content))
    ours, theirs = read_source_recipe(other), read_source_recipe(path)
    assert (ours.name, ours.file, ours.citation, ours.cgcnn) == ("other", theirs.file, theirs.citation, None)
    assert ours.targets == theirs.targets
    cards = run(other, data, tmp_path, trainer={"logger": False, "max_epochs": 1})
    assert cards["other_hardness"].training["targets"]["hardness"]["cleaning"]["removed, not 0 < hardness < 900"] == 1
    for source, message in {"nobody": "nobody.yaml", "other": "source other takes its data from other"}.items():
        other.write_text(yaml.safe_dump(content | {"source": source}))
        with pytest.raises(RecipeError, match=message):
            read_source_recipe(other)
    other.write_text(yaml.safe_dump(content | {"seed": 3}))  # what it has of its own counts
    assert (read_source_recipe(other).seed, read_source_recipe(other).file) == (3, "toy.parquet")


def test_recipes_of_the_package_are_valid():
    paths = [path for path in sorted((zoo_folder() / "recipes").glob("*.yaml")) if not is_hub_recipe(path)]
    recipes = {path.stem: read_source_recipe(path) for path in paths}
    assert {"jarvis", "mp", "boltztrap", "perovskites"} <= set(recipes)
    for name, recipe in recipes.items():
        assert recipe.name == name
        # Targets of the benchmark are never pretrained on.
        assert not any("mbj" in t.value.lower() or "exfoliation" in t.value.lower() for t in recipe.targets.values())
