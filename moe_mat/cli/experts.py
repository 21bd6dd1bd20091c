"""``moe-mat experts``: list, show, verify and import experts."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from rich.table import Column, Table

from moe_mat import crystals, zoo
from moe_mat.cli.tables import print_table
from moe_mat.graphs.ties import Ties


def experts_list(pattern: str = "*", *, folder: str | None = None) -> None:
    """List experts: width, validation error, licence, and what each has learned from which source.

    Args:
        pattern: Shell pattern of tags.
        folder: Folder of cards; by default those of the package.
    """
    tags = zoo.list_experts(pattern, folder=folder)
    numbers = (Column(name, no_wrap=True) for name in ("tag", "dim", "validation MAE"))
    table = Table(*numbers, "licence", Column("what it is", ratio=1), box=None)
    for card in zoo.find_cards([str(Path(folder or zoo.zoo_folder()) / f"{tag}.yaml") for tag in tags]):
        mae = card.metrics.get("validation_mae")
        shown = f"{mae:.4g} {card.unit or ''}" if mae is not None else ""
        dataset = card.source.get("dataset") if isinstance(card.source, dict) else None
        what = f"{card.target}; {dataset}" if card.target and dataset else card.title
        table.add_row(card.tag, str(card.dim), shown, card.license, what)
    print_table(table)


def experts_show(name: str) -> None:
    """Print an expert's card.

    Args:
        name: Tag, folder or card file.
    """
    for card in zoo.find_cards(name):
        sys.stdout.write(yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True))


def experts_verify(names: list[str] = ["*"]) -> None:  # noqa: B006 - never changed
    """Load experts, check their weights against their cards, and embed a crystal with each.

    Args:
        names: Tags, patterns or folders of cards.

    Raises:
        ValueError: When an expert fails; all are tried first.
    """
    import numpy as np
    from ase.build import bulk

    rocksalt, failed = crystals.as_structure(bulk("NaCl", "rocksalt", a=5.64)), []
    for card in zoo.find_cards(names):
        try:
            embedding = zoo.build_expert(card).embed([rocksalt])
            if not np.isfinite(embedding).all():
                raise ValueError("its embedding of rocksalt is not finite")
            sys.stdout.write(f"ok      {card.tag}\n")
        except (ImportError, OSError) as error:
            sys.stdout.write(f"skipped {card.tag}: {error}\n")
        except ValueError as error:
            failed.append(card.tag)
            sys.stdout.write(f"FAILED  {card.tag}: {error}\n")
    if failed:
        raise ValueError(f"{len(failed)} experts failed: {', '.join(failed)}")


def experts_import(
    files: list[str],
    *,
    folder: str,
    ties: Ties = "canonical",
    license: str = "not stated",
    citation: str = "not stated",
) -> None:
    """Convert CGCNN checkpoints (.pth.tar or .safetensors) into cards and weights.

    Args:
        files: The checkpoints; the file names become the tags.
        folder: Where the experts go.
        ties: Rule for equally distant neighbours: ``canonical``, or ``order`` as the published experts were trained.
        license: Licence of the weights.
        citation: What to cite.
    """
    from moe_mat.zoo.import_cgcnn import import_cgcnn

    for file in files:
        card = import_cgcnn(file, folder=folder, ties=ties, license=license, citation=citation)
        sys.stdout.write(f"{card.path}\n")
