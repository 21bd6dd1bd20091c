"""Hub recipes: the backbone, the modules that are trained from it, and the sources of both (MoMa, arXiv 2502.15483)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from moe_mat.pretrain.recipes import RecipeError, SourceRecipe, Training, read_recipe, read_valid, training_of

KINDS = ("full", "adapter")


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


@dataclass(frozen=True, kw_only=True)
class HubRecipe:
    """A hub of modules.

    Attributes:
        name: The first word of the tags.
        sources: By name.
        backbone: How the CGCNN that all modules start from is trained, or the tag of an expert that takes its place.
        modules: Kind, ``full`` or ``adapter``, to how its modules are trained. Their settings: ``max_crystals``, and
            for adapters ``bottleneck``.
        exclude: Files or folders of crystals that nothing is trained on, relative to the folder of the data.
        seed: Of every training.
    """

    name: str
    sources: dict[str, HubSource]
    backbone: Training | str
    modules: dict[str, Training]
    exclude: tuple[str, ...] = ()
    seed: int = 0

    def with_epochs(self, epochs: int) -> HubRecipe:
        """The same with other numbers of epochs, such as one to try it out."""
        backbone = self.backbone if isinstance(self.backbone, str) else replace(self.backbone, max_epochs=epochs)
        modules = {kind: replace(training, max_epochs=epochs) for kind, training in self.modules.items()}
        return replace(self, backbone=backbone, modules=modules)

    @property
    def backbone_tag(self) -> str:
        """Tag of the backbone."""
        return self.backbone if isinstance(self.backbone, str) else f"{self.name}_backbone"

    def module_tag(self, kind: str, source: str, target: str) -> str:
        """Tag of a module."""
        return f"{self.name}_{kind}_{source}_{target}"


def is_hub(path: str | Path) -> bool:
    """Whether a recipe is one of a hub: it has sources instead of a file."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False  # whoever reads it next says so
    return isinstance(content, dict) and "sources" in content


def read_hub(path: str | Path) -> HubRecipe:
    """Read and validate a hub recipe, see ``experts/hub.schema.json``; the recipes of its sources lie beside it.

    Raises:
        RecipeError: When a file is missing, is not YAML or does not fit the schema, or a source has no such target.
    """
    path = Path(path)
    content = read_valid(path, "hub.schema.json")
    max_atoms = content.get("max_atoms")
    sources = {name: _source(name, {"max_atoms": max_atoms, **e}, path) for name, e in content["sources"].items()}
    limits = [source.max_atoms for source in sources.values()]
    largest = None if None in limits else max(limit or 0 for limit in limits)
    backbone = content["backbone"]
    return HubRecipe(
        name=content["name"],
        sources=sources,
        backbone=backbone["expert"] if "expert" in backbone else replace(training_of(backbone), max_atoms=largest),
        modules={kind: training_of(content[kind]) for kind in KINDS if kind in content},
        exclude=tuple(content.get("exclude", ())),
        seed=content.get("seed", 0),
    )


def _source(name: str, entry: dict[str, Any], path: Path) -> HubSource:
    recipe = read_recipe(path.with_name(f"{name}.yaml"))
    if unknown := [target for target in entry["targets"] if target not in recipe.targets]:
        raise RecipeError(
            f"the recipe {path} is not valid: source {name} has no target {', '.join(unknown)}; it has "
            f"{', '.join(recipe.targets)}"
        )
    return HubSource(
        recipe=recipe,
        targets=tuple(entry["targets"]),
        max_crystals=entry.get("max_crystals"),
        max_atoms=entry["max_atoms"],
    )
