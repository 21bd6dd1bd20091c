"""Hub recipes: limits of the sources, what is wrong is named, and the hubs of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_hub_sources import train_hub, write_hub_recipe, write_sources

from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.hub_recipes import is_hub_recipe, read_hub_recipe
from moe_mat.zoo.card_files import zoo_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sources(tmp_path_factory.mktemp("sources"))


def test_a_source_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    sources = {"salts": {"targets": ["hardness"], "max_atoms": 40}, "oxides": {"targets": ["gap"]}}
    hub = read_hub_recipe(write_hub_recipe(tmp_path, sources=sources, max_atoms=20))
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
    data: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises((RecipeError, FileNotFoundError), match=message):
        train_hub(tmp_path, data, recipe=write_hub_recipe(tmp_path, **changes))


def test_the_hubs_of_the_package_are_named_as_their_files_and_have_eighteen_targets() -> None:
    paths = [path for path in sorted((zoo_folder() / "recipes").glob("*.yaml")) if is_hub_recipe(path)]
    hubs = {path.stem: read_hub_recipe(path) for path in paths}
    assert {name: hub.name for name, hub in hubs.items()} == {name: name for name in hubs}
    targets = {name: sum(len(source.targets) for source in hub.sources.values()) for name, hub in hubs.items()}
    assert targets == {"cgcnn": 19, "moma": 18, "moma_chgnet": 18}


@pytest.mark.parametrize("name", ["moma", "moma_chgnet"])
def test_modules_of_the_package_see_no_crystal_of_the_benchmark(name: str) -> None:
    hub = read_hub_recipe(zoo_folder() / "recipes" / f"{name}.yaml")
    assert hub.exclude == ("../benchmark",)
    assert not {"bulk_modulus", "shear_modulus"} & set(hub.sources["mp"].targets)
