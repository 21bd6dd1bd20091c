"""What a hub is trained on: some crystals of each source, and all of them together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from moe_mat.crystals.held_out import HeldOut
from moe_mat.crystals.training_crystals import TrainingCrystals
from moe_mat.pretrain.hub_recipes import HubRecipe
from moe_mat.pretrain.recipes import SourceRecipe
from moe_mat.pretrain.sources import SourceData, read_source, require_values

logger = logging.getLogger(__name__)


def read_sources(
    hub: HubRecipe, folder: Path, prepare: Callable[[Structure], Any], *, only: Collection[str] | None = None
) -> dict[str, SourceData]:
    """The crystals of each source that the hub may see, with the training crystals of these alone.

    Args:
        hub: Names sources, targets and limits.
        folder: Where the sources' files are.
        prepare: Turns a crystal into what is kept of it.
        only: Names of sources; ``None`` for all.

    Raises:
        FileNotFoundError: When a file is not there.
        RecipeError: When a target has no value left.
    """
    held_out = HeldOut.read(folder / name for name in hub.exclude)
    sources = {}
    for name, entry in hub.sources.items():
        if only is not None and name not in only:
            continue
        targets = entry.targets
        source = read_source(
            entry.recipe, folder, targets=targets, max_atoms=entry.max_atoms, prepare=prepare, exclude=held_out
        )
        source = capped(source, entry.max_crystals, seed=hub.seed)
        require_values(entry.recipe, source, targets)
        sources[name] = replace(source, training_crystals=source.training_crystals.of_crystals(source.ids))
        logger.info("%s: %d crystals to train on; %s", name, len(source.ids), source.rows)
    return sources


def capped(source: SourceData, max_crystals: int | None, *, seed: int) -> SourceData:
    """At most so many crystals, chosen by a hash of their names: fewer are part of more."""
    if max_crystals is None or len(source.ids) <= max_crystals:
        return source
    digests = [hashlib.blake2b(f"cap:{seed}:{name}".encode(), digest_size=8).digest() for name in source.ids]
    kept = sorted(sorted(range(len(digests)), key=digests.__getitem__)[:max_crystals])
    rows = {**source.rows, "beyond_the_cap": len(source.ids) - max_crystals}
    return replace(source.take(np.array(kept)), rows=rows)


def joined(texts: Iterable[str]) -> str:
    """Lists separated by semicolons as one, each entry once."""
    return "; ".join(dict.fromkeys(entry for text in texts for entry in text.split("; ")))


def joint_recipe(hub: HubRecipe) -> SourceRecipe:
    """All sources as one, whose targets are called ``<source>_<target>``."""
    recipes = [entry.recipe for entry in hub.sources.values()]
    targets = [
        replace(entry.recipe.targets[name], name=f"{source}_{name}")
        for source, entry in hub.sources.items()
        for name in entry.targets
    ]
    return SourceRecipe(
        name=hub.name,
        dataset=joined(recipe.dataset for recipe in recipes),
        file=", ".join(recipe.file for recipe in recipes),
        license=joined(recipe.license for recipe in recipes),
        citation=joined(recipe.citation for recipe in recipes),
        targets={target.name: target for target in targets},
        fractions=recipes[0].fractions,
        seed=hub.seed,
    )


def join_sources(hub: HubRecipe, sources: Mapping[str, SourceData]) -> SourceData:
    """The crystals of all sources, which have values of the targets of their own source only."""
    parts = list(sources.values())
    widths = [part.values.shape[1] for part in parts]
    values = [
        np.pad(part.values, [(0, 0), (sum(widths[:i]), sum(widths[i + 1 :]))], constant_values=np.nan)
        for i, part in enumerate(parts)
    ]
    properties = list(dict.fromkeys(name for part in parts for name in part.training_crystals.properties))
    reasons = dict.fromkeys(reason for part in parts for reason in part.rows)
    return SourceData(
        ids=[name for part in parts for name in part.ids],
        samples=[sample for part in parts for sample in part.samples],
        values=np.concatenate(values),
        parts=np.concatenate([part.parts for part in parts]),
        rows={reason: sum(part.rows.get(reason, 0) for part in parts) for reason in reasons},
        cleaning={f"{name}_{t}": part.cleaning[t] for name, part in sources.items() for t in hub.sources[name].targets},
        training_crystals=TrainingCrystals.join([part.training_crystals.of_properties(properties) for part in parts]),
    )
