"""The command ``moe-mat compose``: from a task's training crystals and a hub to weights, and to a merged module."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.table import Column, Table

from moe_mat import mixture, moma, zoo
from moe_mat.cli.options import CrystalOptions, SplitOptions
from moe_mat.cli.outputs import check_output
from moe_mat.cli.screen import Facts, screen
from moe_mat.files.folders import configs_folder
from moe_mat.files.locks import only_writer
from moe_mat.files.whole import write_text
from moe_mat.mixture.settings import DataSettings
from moe_mat.moma.settings import CompositionSettings

if TYPE_CHECKING:
    from moe_mat.moma import Composition
    from moe_mat.zoo import ExpertCard

MERGED = "merged"


def compose(
    path: str,
    *,
    target: str,
    modules: str | list[str],
    output: str = "composed",
    rows: SplitOptions,
    reading: CrystalOptions,
    settings: CompositionSettings,
) -> Facts:
    """Weigh the modules of a hub for a task by its training crystals (AMC), and merge them.

    Writes composition.yaml (weights, proxy errors, seconds), mixture.yaml (a configuration of fit with these weights as
    the gate) and, of modules that can be merged, the expert in the folder merged and merged.yaml (a configuration of
    fit that fine-tunes it).

    Args:
        path: Crystals in any readable format; only the training rows are used, which are those of ``fit``.
        target: Target column.
        modules: Tag, pattern or folder of the modules, or several as ``[a,b]``.
        output: Folder to write to.
        rows: Which rows are those of training.
        reading: How crystals are read.
        settings: How the modules are weighed.
    """
    start = time.perf_counter()
    folder = Path(output)
    hubs = [modules] if isinstance(modules, str) else modules
    for name in ("composition.yaml", "mixture.yaml", "merged.yaml", MERGED):
        check_output(folder / name, [path, rows.splits, *hubs])
    cards = zoo.find_cards(modules)
    experts = [card.reference for card in cards]
    of_data = DataSettings(path=path, target=target, **asdict(rows), **asdict(reading))
    data = mixture.CrystalDataModule(of_data, experts=experts)
    data.setup("fit")
    train = data.part("train")
    assert train.targets is not None
    parts = train.embeddings.split([card.dim for card in cards], dim=1)
    embeddings = {card.tag: part.numpy() for card, part in zip(cards, parts, strict=True)}
    composition = moma.compose_embedded(cards, embeddings, train.targets[:, 0].numpy(), settings=settings, start=start)
    with only_writer(folder):
        composition.write(folder / "composition.yaml")
        _write_mixture(cards, composition, folder)
        _show(composition)
        screen.text(f"{composition.rows} training crystals, {composition.seconds:.1f} s; written to {folder}")
        for left_out in data.left_out:
            screen.text(f"left out: {left_out}")
        _write_merged(cards, composition, folder, target=target)
    return {"output": folder, **asdict(composition), "left_out": [str(one) for one in data.left_out]}


def _write_mixture(cards: Sequence[ExpertCard], composition: Composition, folder: Path) -> None:
    """The configuration of fit whose gate has the weights."""
    by_tag = {card.tag: card for card in cards}
    gate = {
        "experts": [by_tag[tag].reference for tag in composition.selected],
        "initial_gate": {tag: composition.weights[tag] for tag in composition.selected},
    }
    _write_config({"model": gate}, folder / "mixture.yaml")


def _write_merged(cards: Sequence[ExpertCard], composition: Composition, folder: Path, *, target: str) -> None:
    """The merged expert, and the configuration of fit that fine-tunes it; nothing of modules that cannot be merged."""
    try:
        moma.check_mergeable(cards)
    except moma.MergeError as error:
        screen.text(f"nothing is merged: {error}")
        (folder / "merged.yaml").unlink(missing_ok=True)  # of an earlier composition
        return
    merged = moma.write_merged(
        cards,
        composition.weights,
        folder=folder / MERGED,
        tag=re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{MERGED}_{target}"),
        training={"composition": asdict(composition)},
    )
    config = yaml.safe_load((configs_folder() / "moma.yaml").read_text(encoding="utf-8"))
    config["model"] = {"experts": merged.reference, **config["model"]}
    _write_config(config, folder / "merged.yaml")


def _write_config(config: Mapping[str, object], path: Path) -> None:
    write_text(path, yaml.safe_dump(config, sort_keys=False))


def _show(composition: Composition) -> None:
    """Modules with a weight, the largest first; the others are counted."""
    table = Table(Column("module", no_wrap=True), "weight", "proxy error", box=None)
    for tag in composition.selected:
        table.add_row(tag, f"{composition.weights[tag]:.3f}", f"{composition.proxy_errors[tag]:.3f}")
    others = len(composition.weights) - len(composition.selected)
    table.add_row(f"all together, {others} others without a weight", "1.000", f"{composition.error:.3f}")
    screen.print(table)
