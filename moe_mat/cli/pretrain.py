"""The command ``moe-mat pretrain``: from source data and a recipe to experts."""

from __future__ import annotations

from pathlib import Path

from rich.table import Column, Table

import moe_mat.pretrain
from moe_mat.cli.screen import Facts, screen
from moe_mat.encoders.devices import Device
from moe_mat.files.folders import data_folder


def pretrain(
    recipe: str,
    *,
    data: str | None = None,
    output: str = "experts",
    runs: str = "runs/pretrain",
    only: str | list[str] = "*",
    device: Device = "auto",
    workers: int = 0,
    trainer: dict[str, object] = {},  # noqa: B006 - never changed
) -> Facts:
    """Train experts on source data as a recipe says; an interrupted training goes on where it ended.

    Args:
        recipe: YAML file, such as those in experts/recipes.
        data: Folder of the source's file; by default pretrain in the folder of prepared data (MOE_MAT_DATA).
        output: Folder of the experts.
        runs: Folder of checkpoints and logs.
        only: Trainings, one or a list of patterns: <recipe>_networks and cgcnn_<recipe>_<target>.
        device: Where trunks compute and experts are trained: cpu, cuda, or auto, a GPU where there is one.
        workers: Processes that join crystals into batches, beside each process that trains.
        trainer: Options of Lightning's Trainer, such as --trainer.devices 4, which share every batch.
    """
    folder = data_folder() / "pretrain" if data is None else Path(data)
    cards = moe_mat.pretrain.pretrain(
        recipe, data=folder, output=output, runs=runs, only=only, device=device, workers=workers, trainer=trainer
    )
    numbers = ("validation MAE", "of the median", "test MAE", "of the median")
    table = Table(Column("tag", no_wrap=True), *numbers, "unit", box=None)
    for card in cards:
        if "validation_mae" in card.metrics:
            names = ("validation_mae", "validation_median_mae", "test_mae", "test_median_mae")
            table.add_row(card.tag, *(f"{card.metrics[name]:.4g}" for name in names), card.unit or "")
    if cards:
        screen.table(table)
        screen.text(f"{len(cards)} experts in {output}")
    return {"output": output, "experts": {card.tag: card.metrics for card in cards}}
