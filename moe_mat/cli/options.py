"""Options that several commands share. Nothing heavy is imported, so that help is there at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from jsonargparse import ArgumentParser

from moe_mat.crystals.errors import OnError
from moe_mat.engines.base import EngineName
from moe_mat.mixture.settings import DataSettings

DATA_OPTIONS = {
    **{one.name: f"data.{one.name}" for one in fields(DataSettings)},
    "experts": "model.experts",
}
"""What data and experts are called in commands that have few options, and in those that have many."""

MANNERS = {
    "quiet": "Say nothing but warnings and errors.",
    "verbose": "Say more, and where an error came from.",
    "json": "Write a summary as JSON to standard output, and nothing else there.",
}
ALLOW_IMPORT = "allow_import"


def add_manner_options(parser: ArgumentParser) -> None:
    """Show how a command can speak; these options are taken before the parser sees them."""
    group = parser.add_argument_group("What is said")
    for name, text in MANNERS.items():
        group.add_argument(f"--{name}", action="store_true", help=text)


@dataclass(frozen=True, kw_only=True)
class CrystalOptions:
    """How crystals are read.

    Attributes:
        id_column: Column with the crystals' names.
        structure_column: Column with structures, their files or formulas.
        on_error: ``raise`` stops at the first crystal that cannot be used, ``skip`` leaves it out and lists it.
    """

    id_column: str | None = None
    structure_column: str | None = None
    on_error: OnError = "raise"


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """Long lists of crystals, in numbered parts.

    With either option, ``--workers`` is the number of parts at a time, each by one process and one thread; beside a GPU
    of this machine, of processes that prepare crystals for it.

    Attributes:
        shards: ``3/64``, the third of 64 shares of the parts, as for the jobs of an array; all parts where it is left
            out.
        engine: Where parts are computed, ``processes`` of this machine or an existing ``ray`` cluster; in this process
            where it is left out.
    """

    shards: str | None = None
    engine: EngineName | None = None


@dataclass(frozen=True, kw_only=True)
class FoldOptions:
    """Which folds are trained, and how many at a time.

    Attributes:
        folds: Parts of the crystals, each of which is tested once a repeat.
        repeats: How often the crystals are divided anew.
        order: Column of numbers or dates: each fold is trained on what is earlier than its test rows, and no more.
        workers: Folds that are trained at a time, each by one process and one thread.
        output: Folder to write to; the same command goes on with the folds that are finished there.
    """

    folds: int = 5
    repeats: int = 1
    order: str | None = None
    workers: int = 1
    output: str = "crossval"


@dataclass(frozen=True, kw_only=True)
class TuneOptions(FoldOptions):
    """What is compared, and for how long.

    Attributes:
        minutes: After which no further fold is begun, those of earlier calls counted; the given settings are always
            cross-validated to the end.
        trials: Configurations that are tried at most.
        search: Settings of the model by name, with the values that are compared, such as ``--search.n_gates [1,2,4]``;
            without it, experts, heads, transforms and gates.
        folds: Parts of the crystals that are not test rows, each of which is predicted once a repeat.
        repeats: How often these are divided anew.
        order: Column of numbers or dates: each fold is trained on what is earlier than its own rows, and no more.
        workers: Folds that are trained at a time, each by one process and one thread.
        output: Folder to write to; the same command goes on with the trials that are there.
    """

    minutes: float = 10.0
    trials: int | None = None
    search: dict[str, list[Any]] | None = None
    output: str = "tuned"


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which rows are those of training.

    Attributes:
        splits: JSON file with splits, as for ``fit --data.splits``; by default rows are split at random.
        split: Which of them, or the seed of the random one.
        group: Rows that a random split keeps in one part, as for ``fit --data.group``.
    """

    splits: str | None = None
    split: int = 0
    group: str | None = None
