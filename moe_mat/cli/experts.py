"""``moe-mat experts``: list, show, verify and import experts."""

from __future__ import annotations

from pathlib import Path

import yaml
from rich.table import Column, Table

from moe_mat import crystals, zoo
from moe_mat.cli.screen import Facts, PartlyFailedError, screen
from moe_mat.graphs.ties import Ties


def experts_list(pattern: str = "*", *, folder: str | None = None) -> Facts:
    """List experts: width, validation error, licence, and what each has learned from which source.

    Args:
        pattern: Shell pattern of tags.
        folder: Folder of cards; by default those of the package.
    """
    tags = zoo.list_experts(pattern, folder=folder)
    numbers = (Column(name, no_wrap=True) for name in ("tag", "dim", "validation MAE"))
    table = Table(*numbers, "licence", Column("what it is", ratio=1), box=None)
    cards = zoo.find_cards([str(Path(folder or zoo.zoo_folder()) / f"{tag}.yaml") for tag in tags])
    for card in cards:
        mae = card.metrics.get("validation_mae")
        shown = f"{mae:.4g} {card.unit or ''}" if mae is not None else ""
        dataset = card.source.get("dataset") if isinstance(card.source, dict) else None
        what = f"{card.target}; {dataset}" if card.target and dataset else card.title
        table.add_row(card.tag, str(card.dim), shown, card.license, what)
    screen.table(table)
    return {"experts": [card.to_dict() for card in cards]}


def experts_show(name: str) -> Facts:
    """Print an expert's card.

    Args:
        name: Tag, folder or card file.
    """
    cards = [card.to_dict() for card in zoo.find_cards(name)]
    for card in cards:
        screen.text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True).rstrip("\n"))
    return {"experts": cards}


def experts_verify(names: list[str] = ["*"]) -> Facts:  # noqa: B006 - never changed
    """Load experts, check their weights against their cards, and embed a crystal with each.

    Args:
        names: Tags, patterns or folders of cards.

    Raises:
        PartlyFailedError: When an expert fails; all are tried first.
    """
    import numpy as np
    from ase.build import bulk

    rocksalt, outcomes = crystals.as_structure(bulk("NaCl", "rocksalt", a=5.64)), {}
    for card in zoo.find_cards(names):
        try:
            embedding = zoo.build_expert(card).embed([rocksalt])
            if not np.isfinite(embedding).all():
                raise ValueError("its embedding of rocksalt is not finite")
            outcomes[card.tag] = "ok"
            screen.text(f"ok      {card.tag}")
        except (ImportError, OSError) as error:
            outcomes[card.tag] = f"skipped: {error}"
            screen.text(f"skipped {card.tag}: {error}")
        except ValueError as error:
            outcomes[card.tag] = f"failed: {error}"
            screen.text(f"FAILED  {card.tag}: {error}")
    if failed := [tag for tag, outcome in outcomes.items() if outcome.startswith("failed")]:
        raise PartlyFailedError(f"{len(failed)} experts failed: {', '.join(failed)}", {"experts": outcomes})
    return {"experts": outcomes}


def experts_import(
    files: list[str],
    *,
    folder: str,
    ties: Ties = "canonical",
    license: str = "not stated",
    citation: str = "not stated",
) -> Facts:
    """Convert CGCNN checkpoints (.pth.tar or .safetensors) into cards and weights.

    Args:
        files: The checkpoints; the file names become the tags.
        folder: Where the experts go.
        ties: Rule for equally distant neighbours: ``canonical``, or ``order`` as the published experts were trained.
        license: Licence of the weights.
        citation: What to cite.
    """
    from moe_mat.zoo.import_cgcnn import import_cgcnn

    cards = []
    for file in files:
        card = import_cgcnn(file, folder=folder, ties=ties, license=license, citation=citation)
        screen.text(str(card.path))
        cards.append(card.path)
    return {"cards": cards}
