"""Hub recipes: the backbone, the modules that are trained from it, and the sources of both (MoMa, arXiv 2502.15483)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from moe_mat.files.documents import read_yaml
from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.recipes import SourceRecipe, as_tuples, read_source_recipe
from moe_mat.pretrain.settings import CGCNNTraining, ModuleTraining
from moe_mat.zoo.card_files import zoo_folder
from moe_mat.zoo.card_parts import ModuleKind

KINDS: tuple[ModuleKind, ...] = get_args(ModuleKind)


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A source of data, and what the hub takes of it.

    Attributes:
        recipe: Says how to read and clean it.
        targets: Names of its targets; the backbone learns all of them, and each gets its own modules.
        max_crystals: Crystals that are used, chosen by hash; ``None`` for all.
        max_atoms: Larger cells are left out, and counted.
    """

    recipe: SourceRecipe
    targets: tuple[str, ...]
    max_crystals: int | None = None
    max_atoms: int | None = None


@dataclass(frozen=True, slots=True)
class HubModule:
    """A module that is to be trained.

    Attributes:
        kind: ``full`` or ``adapter``.
        source: Name of its source.
        target: Name of the source's target that it learns.
    """

    kind: ModuleKind
    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class HubRecipe:
    """A hub of modules.

    Attributes:
        name: The first word of the tags.
        sources: By name.
        backbone: How the CGCNN that all modules start from is trained, or the tag of an expert that takes its place.
        kinds: Kind, ``full`` or ``adapter``, to how its modules are trained.
        exclude: Files or folders of crystals that nothing is trained on, relative to the folder of the data.
        seed: Of every training.
    """

    name: str
    sources: dict[str, HubSource]
    backbone: CGCNNTraining | str
    kinds: dict[ModuleKind, ModuleTraining]
    exclude: tuple[str, ...] = ()
    seed: int = 0

    def with_training(self, **changes: Any) -> HubRecipe:
        """The same with other settings of every training, such as one epoch to try it out; see `Training`."""
        backbone = self.backbone if isinstance(self.backbone, str) else replace(self.backbone, **changes)
        kinds = {kind: replace(training, **changes) for kind, training in self.kinds.items()}
        return replace(self, backbone=backbone, kinds=kinds)

    @property
    def backbone_tag(self) -> str:
        """Tag of the backbone."""
        return self.backbone if isinstance(self.backbone, str) else f"{self.name}_backbone"

    @property
    def modules(self) -> dict[str, HubModule]:
        """All modules by their tags."""
        return {
            f"{self.name}_{kind}_{source}_{target}": HubModule(kind, source, target)
            for kind in self.kinds
            for source, entry in self.sources.items()
            for target in entry.targets
        }

    @property
    def trainings(self) -> list[str]:
        """Names of all trainings, which are the tags of their experts."""
        return [*([] if isinstance(self.backbone, str) else [self.backbone_tag]), *self.modules]


def is_hub_recipe(path: str | Path) -> bool:
    """Whether a recipe is one of a hub: it has sources instead of a file."""
    try:
        content = read_yaml(Path(path))
    except ValueError:
        return False  # whoever reads it next says so
    return isinstance(content, dict) and "sources" in content


def read_hub_recipe(path: str | Path) -> HubRecipe:
    """Read and validate a hub recipe, see ``experts/hub.schema.json``; the recipes of its sources lie beside it.

    Raises:
        RecipeError: When a file is missing, is not YAML or does not fit the schema, or a source has no such target.
    """
    path = Path(path)
    schema = zoo_folder() / "hub.schema.json"
    content = as_tuples(read_yaml(path, schema=schema, what="recipe", error=RecipeError))
    max_atoms = content.pop("max_atoms", None)
    sources = {name: _source(name, {"max_atoms": max_atoms, **e}, path) for name, e in content.pop("sources").items()}
    limits = [source.max_atoms for source in sources.values()]
    largest = None if None in limits else max(limit or 0 for limit in limits)
    kinds = {kind: ModuleTraining(**content.pop(kind)) for kind in KINDS if kind in content}
    entry = content.pop("backbone")
    backbone = entry["expert"] if "expert" in entry else CGCNNTraining(**entry, max_atoms=largest)
    return HubRecipe(sources=sources, backbone=backbone, kinds=kinds, **content)


def _source(name: str, entry: dict[str, Any], path: Path) -> HubSource:
    recipe = read_source_recipe(path.with_name(f"{name}.yaml"))
    if unknown := [target for target in entry["targets"] if target not in recipe.targets]:
        raise RecipeError(
            f"the recipe {path} is not valid: source {name} has no target {', '.join(unknown)}; it has "
            f"{', '.join(recipe.targets)}"
        )
    return HubSource(recipe=recipe, **entry)
