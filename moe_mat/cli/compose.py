"""The command ``compose``: from a task's training crystals and a hub to weights, and to a merged module."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Column, Table

from moe_mat.crystals.errors import OnError
from moe_mat.files.folders import configs_folder
from moe_mat.files.whole import write_text
from moe_mat.mixture.data import CrystalDataModule
from moe_mat.mixture.settings import DataSettings, Transform
from moe_mat.moma.composition import Composition, compose_embedded
from moe_mat.moma.merging import MergeError, check_mergeable, write_merged
from moe_mat.moma.settings import CompositionSettings
from moe_mat.zoo.cards import find_cards

MERGED = "merged"


def compose(
    path: str,
    *,
    target: str,
    modules: str | list[str],
    output: str = "composed",
    splits: str | None = None,
    split: int = 0,
    id_column: str | None = None,
    structure_column: str | None = None,
    on_error: OnError = "raise",
    k: int = 5,
    temperature: float = 0.2,
    entropy: float = 0.0,
    sparsity: float = 0.0,
    transform: Transform = "auto",
) -> None:
    """Weigh the modules of a hub for a task by its training crystals (AMC), and merge them.

    Writes composition.yaml (weights, proxy errors, seconds), mixture.yaml (a configuration of fit with these weights as
    the gate) and, of modules that can be merged, the expert in the folder merged and merged.yaml (a configuration of
    fit that fine-tunes it).

    Args:
        path: Crystals in any readable format; only the training rows are used, which are those of ``fit``.
        target: Target column.
        modules: Tag, pattern or folder of the modules, or several as ``[a,b]``.
        output: Folder to write to.
        splits: JSON file with splits, as for ``fit --data.splits``; by default rows are split at random.
        split: Which of them, or the seed of the random one.
        id_column: Column with the crystals' names.
        structure_column: Column with structures or their files.
        on_error: ``raise`` stops at the first crystal that cannot be used, ``skip`` leaves it out and lists it.
        k: Neighbours that predict a crystal.
        temperature: Of their similarities.
        entropy: Strength of a term that makes weights even.
        sparsity: Strength of a term that prefers few modules.
        transform: Of the target, with constants from the training rows.
    """
    start = time.perf_counter()
    cards = find_cards(modules)
    settings_of_data = DataSettings(
        path=path,
        target=target,
        splits=splits,
        split=split,
        id_column=id_column,
        structure_column=structure_column,
        on_error=on_error,
    )
    data = CrystalDataModule(settings_of_data, experts=[card.reference for card in cards])
    data.setup("fit")
    train = data.part("train")
    assert train.targets is not None
    parts = train.embeddings.split([card.dim for card in cards], dim=1)
    settings = CompositionSettings(
        k=k, temperature=temperature, entropy=entropy, sparsity=sparsity, transform=transform
    )
    composition = compose_embedded(
        cards,
        {card.tag: part.numpy() for card, part in zip(cards, parts, strict=True)},
        train.targets[:, 0].numpy(),
        settings=settings,
        start=start,
    )
    folder = Path(output)
    composition.write(folder / "composition.yaml")
    by_tag = {card.tag: card for card in cards}
    gate = {
        "experts": [by_tag[tag].reference for tag in composition.selected],
        "initial_gate": {tag: composition.weights[tag] for tag in composition.selected},
    }
    _write_config({"model": gate}, folder / "mixture.yaml")
    console = Console()
    _show(composition, console)
    console.print(
        f"{composition.rows} training crystals, {composition.seconds:.1f} s; written to {folder}", soft_wrap=True
    )
    for left_out in data.left_out:
        console.print(f"left out: {left_out}", highlight=False, markup=False, soft_wrap=True)
    try:
        check_mergeable(cards)
    except MergeError as error:
        console.print(f"nothing is merged: {error}", highlight=False, markup=False, soft_wrap=True)
        (folder / "merged.yaml").unlink(missing_ok=True)  # of an earlier composition
        return
    merged = write_merged(
        cards,
        composition.weights,
        folder=folder / MERGED,
        tag=re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{MERGED}_{target}"),
        training={"composition": asdict(composition)},
    )
    config = yaml.safe_load((configs_folder() / "moma.yaml").read_text(encoding="utf-8"))
    config["model"] = {"experts": merged.reference, **config["model"]}
    _write_config(config, folder / "merged.yaml")


def _write_config(config: dict[str, Any], path: Path) -> None:
    write_text(path, yaml.safe_dump(config, sort_keys=False))


def _show(composition: Composition, console: Console) -> None:
    """Modules with a weight, the largest first; the others are counted."""
    table = Table(Column("module", no_wrap=True), "weight", "proxy error", box=None)
    for tag in composition.selected:
        table.add_row(tag, f"{composition.weights[tag]:.3f}", f"{composition.proxy_errors[tag]:.3f}")
    others = len(composition.weights) - len(composition.selected)
    table.add_row(f"all together, {others} others without a weight", "1.000", f"{composition.error:.3f}")
    console.print(table)
