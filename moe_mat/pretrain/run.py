"""Pretraining: from a recipe and source data to experts with cards."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from moe_mat.encoders import Device, choose_device
from moe_mat.pretrain.cgcnn_experts import train_cgcnn_experts
from moe_mat.pretrain.errors import RecipeError
from moe_mat.pretrain.hub import train_hub
from moe_mat.pretrain.hub_recipes import HubRecipe, is_hub_recipe, read_hub_recipe
from moe_mat.pretrain.hub_sources import joint_recipe
from moe_mat.pretrain.job import SourceJob
from moe_mat.pretrain.network_experts import train_network_experts
from moe_mat.pretrain.processes import Processes
from moe_mat.pretrain.recipes import SourceRecipe, read_source_recipe
from moe_mat.pretrain.settings import Precision
from moe_mat.zoo.cards import ExpertCard


def pretrain(
    recipe: str | Path | SourceRecipe | HubRecipe,
    *,
    data: str | Path,
    output: str | Path,
    runs: str | Path = "runs/pretrain",
    only: str | Sequence[str] = "*",
    device: Device = "auto",
    workers: int = 0,
    trainer: Mapping[str, object] | None = None,
) -> list[ExpertCard]:
    """Train the experts of a recipe and write their cards, weights and training crystals.

    A training that was interrupted goes on where its last epoch ended; one that had finished is only exported again.

    Args:
        recipe: The recipe of a source or a hub, or its file.
        data: Folder of the sources' files.
        output: Folder of the experts; cards of trunk or backbone are there or in the package.
        runs: Folder of checkpoints and logs.
        only: Patterns, one or several, of trainings: ``<recipe>_networks`` and ``cgcnn_<recipe>_<target>``; of a hub
            ``<hub>_backbone``, ``<hub>_full_<source>_<target>`` and ``<hub>_adapter_<source>_<target>``.
        device: Where trunks compute and experts are trained: ``cpu``, ``cuda``, or ``auto``, a GPU where there is one.
        workers: Processes that join crystals into batches, beside each process that trains.
        trainer: Arguments of Lightning's Trainer. Of several processes, each takes its share of every batch.

    Returns:
        The cards; none in the secondary processes of a distributed training.

    Raises:
        RecipeError: When recipe and data do not go together, or ``only`` names no training.
        CardError: When the backbone of a hub is neither there nor to be trained.
        ValueError: When there is no such device, or an option is not one of the Trainer's.
    """
    if not isinstance(recipe, SourceRecipe | HubRecipe):
        recipe = read_hub_recipe(recipe) if is_hub_recipe(recipe) else read_source_recipe(recipe)
    # One process, unless more are asked for.
    options = {"accelerator": choose_device(device).type, "devices": 1} | dict(trainer or {})
    if (epochs := options.pop("max_epochs", None)) is not None:  # the cards say what was done
        if not isinstance(epochs, int):
            raise ValueError(f"--trainer.max_epochs: {epochs!r} is not a number of epochs")
        recipe = recipe.with_training(max_epochs=epochs)
    if (precision := options.pop("precision", None)) is not None:
        if precision not in get_args(Precision):
            raise ValueError(f"--trainer.precision: {precision!r} is not one of {', '.join(get_args(Precision))}")
        recipe = recipe.with_training(precision=precision)
    chosen = _choose(recipe, [only] if isinstance(only, str) else only)
    of_sources = joint_recipe(recipe) if isinstance(recipe, HubRecipe) else recipe
    job = SourceJob(
        of_sources,
        data=Path(data),
        output=Path(output),
        runs=Path(runs),
        trainer=options,
        processes=Processes.of(options),
        device=device,
        workers=workers,
    )
    job.output.mkdir(parents=True, exist_ok=True)
    return train_hub(job, recipe, chosen) if isinstance(recipe, HubRecipe) else _train_experts(job, recipe, chosen)


def _choose(recipe: SourceRecipe | HubRecipe, patterns: Sequence[str]) -> list[str]:
    names = recipe.trainings
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not chosen:
        what = "hub" if isinstance(recipe, HubRecipe) else "recipe"
        raise RecipeError(f"{what} {recipe.name} has no training {', '.join(patterns)}; it has {', '.join(names)}")
    return chosen


def _train_experts(job: SourceJob, recipe: SourceRecipe, chosen: Sequence[str]) -> list[ExpertCard]:
    cards: list[ExpertCard] = []
    if recipe.networks and recipe.networks_name in chosen:
        cards += train_network_experts(job, recipe.networks)
    if recipe.cgcnn:
        cards += train_cgcnn_experts(job, recipe.cgcnn, chosen)
    return cards
