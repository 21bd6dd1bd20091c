"""Source recipes: which source data are read, how they are cleaned, and which experts are trained on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moe_mat.files.documents import read_yaml
from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.settings import CGCNNExpertsTraining, NetworkTraining
from moe_mat.pretrain.targets import SourceTarget
from moe_mat.zoo.card_files import zoo_folder

OF_SOURCE = ("dataset", "file", "license", "citation", "targets", "fractions", "seed")


@dataclass(frozen=True, kw_only=True)
class SourceRecipe:
    """A source of data and the experts trained on it.

    Attributes:
        name: The first word of the experts' tags.
        dataset: Name of the data.
        file: Prepared file or any readable one, relative to the folder of the data.
        license: Of the data.
        citation: Of the data.
        fractions: Shares of training, validation and test crystals.
        seed: Of the split and of every training.
        targets: By name.
        exclude_formulas: Files or folders of crystals, relative to the folder of the data: nothing is trained on a
            crystal that has the reduced formula of one of them.
        ground_state: Target that is an energy. Where it is named, the networks see formulas alone: of each formula the
            values are those of its crystal of lowest energy, and all crystals of a formula are in one part.
        networks: Property networks on a trunk, in groups that share a body.
        cgcnn: CGCNN experts, one a target.
    """

    name: str
    dataset: str
    file: str
    license: str
    citation: str
    targets: dict[str, SourceTarget]
    exclude_formulas: tuple[str, ...] = ()
    ground_state: str | None = None
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    networks: NetworkTraining | None = None
    cgcnn: CGCNNExpertsTraining | None = None

    def with_training(self, **changes: Any) -> SourceRecipe:
        """The same with other settings of every training, such as one epoch to try it out; see `Training`."""
        networks, cgcnn = self.networks, self.cgcnn
        return replace(
            self, networks=networks and replace(networks, **changes), cgcnn=cgcnn and replace(cgcnn, **changes)
        )

    @property
    def networks_name(self) -> str:
        """Name of the training of the networks."""
        return f"{self.name}_networks"

    def cgcnn_tag(self, target: str) -> str:
        """Tag of a CGCNN expert, and name of its training."""
        return f"cgcnn_{self.name}_{target}"

    @property
    def trainings(self) -> list[str]:
        """Names of all trainings."""
        cgcnn = [self.cgcnn_tag(target) for target in self.cgcnn.targets] if self.cgcnn else []
        return [*([self.networks_name] if self.networks else []), *cgcnn]


def read_source_recipe(path: str | Path) -> SourceRecipe:
    """Read and validate a recipe, see ``experts/recipe.schema.json``; one that names a source has it beside it.

    Raises:
        RecipeError: When the file is missing, is not YAML or does not fit the schema; names file and entry.
    """
    path = Path(path)
    content = _read(path)
    try:
        if (name := content.pop("source", None)) is not None:
            source = _read(path.with_name(f"{name}.yaml"))
            if "source" in source:
                raise RecipeError(f"source {name} takes its data from {source['source']}: name that")
            content = {field: source[field] for field in OF_SOURCE if field in source} | content
        return _source_recipe(content)
    except RecipeError as error:
        raise RecipeError(f"the recipe {path} is not valid: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    return read_yaml(path, schema=zoo_folder() / "recipe.schema.json", what="recipe", error=RecipeError)


def _source_recipe(content: dict[str, Any]) -> SourceRecipe:
    content = as_tuples(content)
    targets = {name: _target(name, entry) for name, entry in content.pop("targets").items()}
    networks, cgcnn = content.pop("networks", None), content.pop("cgcnn", None)
    recipe = SourceRecipe(
        targets=targets,
        networks=None if networks is None else NetworkTraining(**networks),
        cgcnn=None if cgcnn is None else CGCNNExpertsTraining(**cgcnn),
        **content,
    )
    trained = [name for training in (recipe.networks, recipe.cgcnn) if training for name in training.targets]
    if unknown := sorted(set(trained) - set(targets)):
        raise RecipeError(f"{', '.join(unknown)}: no such target; there are {', '.join(targets)}")
    if recipe.ground_state is not None and (
        recipe.cgcnn is not None or recipe.networks is None or recipe.ground_state not in recipe.networks.targets
    ):
        raise RecipeError(
            f"ground_state is {recipe.ground_state}: it is one of the networks' targets, and only networks "
            "learn from formulas"
        )
    return recipe


def _target(name: str, entry: dict[str, Any] | None) -> SourceTarget:
    entry = {"property": name, **(entry or {})}
    target = SourceTarget(name=name, **{"value": entry["property"], **entry})
    target.columns()  # the expressions are sound
    return target


def as_tuples(content: Any) -> Any:
    """Plain data with tuples in place of lists, as settings that do not change have them."""
    if isinstance(content, dict):
        return {name: as_tuples(value) for name, value in content.items()}
    return tuple(as_tuples(value) for value in content) if isinstance(content, list) else content
