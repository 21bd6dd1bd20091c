"""``moe-mat experts``: list, show, verify and import experts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.table import Column, Table

from moe_mat import crystals, zoo
from moe_mat.cli.screen import Facts, PartlyFailedError, screen
from moe_mat.crystals.errors import OnError, UnsupportedCrystalError
from moe_mat.graphs.ties import Ties

if TYPE_CHECKING:
    from moe_mat.zoo.import_table import ImportedTable

# Of crystals and vectors that have no counterpart.
NAMED = 5


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
        except UnsupportedCrystalError:
            outcomes[card.tag] = "ok, and does not know rocksalt"
            screen.text(f"ok      {card.tag} (loaded; it does not know rocksalt)")
        except (ImportError, OSError) as error:
            outcomes[card.tag] = f"skipped: {error}"
            screen.text(f"skipped {card.tag}: {error}")
        except ValueError as error:
            outcomes[card.tag] = f"failed: {error}"
            screen.text(f"FAILED  {card.tag}: {error}")
    if failed := [tag for tag, outcome in outcomes.items() if outcome.startswith("failed")]:
        raise PartlyFailedError(f"{len(failed)} experts failed: {', '.join(failed)}", {"experts": outcomes})
    return {"experts": outcomes}


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """A table of vectors.

    Attributes:
        id_column: Column with the crystals' names.
        vector_column: Column with lists of numbers, or a pattern such as ``v_*`` for columns of numbers.
        structures: The crystals by the same names, in any readable format; by default those in the table itself.
        on_error: ``raise`` stops at the first crystal or vector that cannot be used, ``skip`` leaves it out, listed.
    """

    id_column: str | None = None
    vector_column: str | None = None
    structures: str | None = None
    on_error: OnError = "raise"


def experts_import(
    files: list[str],
    *,
    folder: str,
    tag: str | None = None,
    source: str | None = None,
    license: str = "not stated",
    citation: str = "not stated",
    ties: Ties = "canonical",
    table: TableOptions,
) -> Facts:
    """Make experts of tables of vectors (.parquet, .csv) or of CGCNN checkpoints (.pth.tar, .safetensors).

    Args:
        files: The tables or checkpoints, each an expert.
        folder: Where the experts go, cards and data.
        tag: Name of the expert, where there is one file; by default that of the file.
        source: What it was trained on, for the leakage audit.
        license: Licence of weights or vectors.
        citation: What to cite.
        ties: Rule of a CGCNN for equally distant neighbours: ``canonical``, or ``order`` as the published.
        table: How a table is read.

    Raises:
        ValueError: When several files are to have one tag, or a file cannot be used; says which and why.
    """
    from moe_mat.zoo.import_cgcnn import import_cgcnn
    from moe_mat.zoo.import_table import import_table
    from moe_mat.zoo.vector_tables import is_vector_table

    if tag is not None and len(files) > 1:
        raise ValueError(f"--tag {tag} is for one file, and {len(files)} are given: import them one by one")
    facts: dict[str, list[str]] = {name: [] for name in ("cards", "left_out", "without_crystal", "without_vector")}
    said: dict[str, Any] = {"folder": folder, "tag": tag, "license": license, "citation": citation}
    for file in files:
        if is_vector_table(Path(file)):
            imported = import_table(file, source=source, **said, **asdict(table))
            _tell(imported)
            facts["left_out"] += [str(one) for one in imported.left_out]
            facts["without_crystal"] += imported.without_crystal
            facts["without_vector"] += imported.without_vector
            card = imported.card
        elif table != TableOptions():
            raise ValueError(f"{file} is no table (.parquet or .csv): --vector-column and the like are for tables")
        else:
            card = import_cgcnn(file, trained_on=source, ties=ties, **said)
        screen.text(str(card.path))
        facts["cards"].append(str(card.path))
    return {**facts}


def _tell(imported: ImportedTable) -> None:
    """Say what became of a table: what was left out, one by one, and what was not needed, by count."""
    card, left_out = imported.card, imported.left_out
    screen.text(f"{card.settings['n_crystals']} crystals with vectors of {card.dim} numbers; {len(left_out)} left out")
    for one in left_out:
        screen.text(f"  {one}")
    for names, what in (
        (imported.without_crystal, "vectors without a crystal"),
        (imported.without_vector, "crystals without a vector"),
    ):
        if names:
            more = ", ..." if len(names) > NAMED else ""
            screen.text(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}")
