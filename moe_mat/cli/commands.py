"""The package's own commands. Each is a function: its signature is the command's options, its docstring the help."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import docstring_parser
import pyarrow as pa
import pyarrow.parquet as pq
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from moe_mat.cli.audit import audit
from moe_mat.cli.compose import compose
from moe_mat.cli.experts import experts_import, experts_list, experts_show, experts_verify, print_table
from moe_mat.crystals.datasets import FetchError
from moe_mat.crystals.errors import CrystalError, LeftOut, OnError
from moe_mat.crystals.readers import iter_crystals
from moe_mat.files.folders import data_folder
from moe_mat.files.whole import whole_file
from moe_mat.pretrain import run as pretraining
from moe_mat.tasks import TaskCards, build_task, describe_task, fetch_sources
from moe_mat.zoo.cache import EmbeddingCache
from moe_mat.zoo.cards import find_cards
from moe_mat.zoo.embeddings import embed_stream


def embed(
    path: str,
    *,
    output: str = "embeddings.parquet",
    experts: str | list[str] = "default",
    id_column: str | None = None,
    structure_column: str | None = None,
    on_error: OnError = "raise",
) -> None:
    """Embed crystals: Parquet with material_id and one column of vectors an expert.

    Args:
        path: Crystals in any readable format.
        output: Parquet file to write.
        experts: A tag, pattern or folder of cards, or several as ``[a,b]``.
        id_column: Column with the crystals' names.
        structure_column: Column with structures or their files.
        on_error: ``raise`` stops at the first crystal that cannot be used, ``skip`` leaves it out and lists it.
    """
    left_out: list[LeftOut] = []

    def refuse(problem: LeftOut) -> None:
        if on_error == "raise":
            raise CrystalError(problem)
        left_out.append(problem)

    cards = find_cards(experts)
    schema = pa.schema(
        [("material_id", pa.string()), *((card.tag, pa.list_(pa.float32(), card.dim)) for card in cards)]
    )
    crystals = iter_crystals(
        path, id_column=id_column, structure_column=structure_column, on_error=on_error, left_out=left_out
    )
    rows = 0
    with Progress(*Progress.get_default_columns()[:1], "{task.completed} crystals", transient=True) as progress:
        task = progress.add_task("embedding", total=None)
        with whole_file(output) as part, pq.ParquetWriter(part, schema) as writer:
            for chunk, values in embed_stream(cards, crystals, refuse=refuse):
                columns: list[Any] = [pa.array([crystal.material_id for crystal in chunk])]
                columns += [pa.FixedSizeListArray.from_arrays(v.ravel(), v.shape[1]) for v in values.values()]
                writer.write_table(pa.table(columns, schema=schema))
                rows += len(chunk)
                progress.update(task, completed=rows)
    console = Console()
    console.print(f"{rows} crystals by {len(cards)} experts in [bold]{output}[/bold]; {len(left_out)} left out")
    for problem in left_out:
        console.print(f"  {problem}", highlight=False, markup=False)


def pretrain(
    recipe: str,
    *,
    data: str | None = None,
    output: str = "experts",
    runs: str = "runs/pretrain",
    only: str | list[str] = "*",
    trainer: dict[str, Any] = {},  # noqa: B006 - never changed
) -> None:
    """Train experts on source data as a recipe says; an interrupted training goes on where it ended.

    Args:
        recipe: YAML file, such as those in experts/recipes.
        data: Folder of the source's file; by default pretrain in the folder of prepared data (MOE_MAT_DATA).
        output: Folder of the experts.
        runs: Folder of checkpoints and logs.
        only: Trainings, one or a list of patterns: <recipe>_networks and cgcnn_<recipe>_<target>.
        trainer: Options of Lightning's Trainer, such as --trainer.devices 4 --trainer.strategy ddp.
    """
    folder = data_folder() / "pretrain" if data is None else Path(data)
    cards = pretraining.pretrain(recipe, data=folder, output=output, runs=runs, only=only, trainer=trainer)
    numbers = ("validation MAE", "of the median", "test MAE", "of the median")
    table = Table(Column("tag", no_wrap=True), *numbers, "unit", box=None)
    for card in cards:
        if "validation_mae" in card.metrics:
            names = ("validation_mae", "validation_median_mae", "test_mae", "test_median_mae")
            table.add_row(card.tag, *(f"{card.metrics[name]:.4g}" for name in names), card.unit or "")
    if cards:
        print_table(table)
        sys.stdout.write(f"{len(cards)} experts in {output}\n")


def cache_list() -> None:
    """List what the embedding cache holds."""
    with EmbeddingCache() as cache:
        sys.stdout.write(f"{cache}\n{cache.spaces().to_string(index=False)}\n")


def cache_clear(space: str | None = None) -> None:
    """Empty the embedding cache.

    Args:
        space: Empty only this space, see ``moe-mat cache list``.
    """
    with EmbeddingCache() as cache:
        sys.stdout.write(f"{cache.clear(space)} embeddings removed\n")


def data_list(tasks: list[str] = ["*"], *, data: str | None = None) -> None:  # noqa: B006 - never changed
    """List the benchmark's tasks: where rows and splits come from, and how faithful they are.

    Args:
        tasks: Names or patterns.
        data: Folder of prepared data (MOE_MAT_DATA).
    """
    folder = data_folder() if data is None else Path(data)
    table = Table(
        "task", "matminer data set", "rows", "target mean, sd", "prepared rows", "origin", "splits", "fidelity"
    )
    for card in TaskCards().find(tasks):
        found, source = describe_task(card, folder), card.recipe.dataset
        n_rows, numbers = str(card.evidence.n_rows), f"{card.evidence.mean:.5g}, {card.evidence.std:.5g}"
        table.add_row(card.name, source, n_rows, numbers, found.rows, found.origin, found.splits, card.fidelity)
    console = Console()
    console.print(table)
    console.print(f"prepared data: {folder}", highlight=False)


def data_fetch(names: list[str] = ["*"]) -> None:  # noqa: B006 - never changed
    """Download what the benchmark's tasks are made from, checked against matminer's checksums.

    Args:
        names: Tasks, patterns of tasks, or matminer data sets.
    """
    for path in fetch_sources(names, TaskCards()):
        sys.stdout.write(f"{path}\n")


def data_prepare(tasks: list[str] = ["*"], *, data: str | None = None) -> None:  # noqa: B006 - never changed
    """Build the benchmark's tasks from matminer's data sets, which are downloaded where they are missing.

    Args:
        tasks: Names or patterns.
        data: Folder of prepared data (MOE_MAT_DATA).

    Raises:
        ValueError: When a task fails; all are tried first.
    """
    folder = data_folder() if data is None else Path(data)
    failed = []
    for card in TaskCards().find(tasks):
        try:
            sys.stdout.write(f"ok      {build_task(card, folder)}\n")
        except (FetchError, ValueError, OSError) as error:
            failed.append(card.name)
            sys.stdout.write(f"FAILED  {card.name}: {error}\n")
    if failed:
        raise ValueError(f"{len(failed)} tasks failed: {', '.join(failed)}")


COMMANDS: dict[str, Callable[..., None] | dict[str, Callable[..., None]]] = {
    "embed": embed,
    "experts": {"list": experts_list, "show": experts_show, "verify": experts_verify, "import": experts_import},
    "pretrain": pretrain,
    "compose": compose,
    "audit": audit,
    "cache": {"list": cache_list, "clear": cache_clear},
    "data": {"list": data_list, "fetch": data_fetch, "prepare": data_prepare},
}
_GROUPS = {
    "experts": "list, show, verify or import experts.",
    "cache": "list or clear the cache of embeddings.",
    "data": "list, fetch or prepare the data of the benchmark.",
}


def summaries() -> dict[str, str]:
    """Command to the line that says what it does."""
    return {
        name: _GROUPS[name].capitalize() if isinstance(command, dict) else str(command.__doc__).splitlines()[0]
        for name, command in COMMANDS.items()
    }


def run(arguments: Sequence[str]) -> None:
    """Run one command.

    Raises:
        ValueError: When there is no such command.
    """
    name = arguments[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, ["fit", "validate", "test", "predict", *COMMANDS], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no such command{hint} (moe-mat --help lists them)")
    command = COMMANDS[name]
    if not isinstance(command, dict):
        _call(command, _parser(command, prog=f"moe-mat {name}").parse_args(list(arguments[1:])))
        return
    parser = ArgumentParser(prog=f"moe-mat {name}", description=_GROUPS[name].capitalize())
    subcommands = parser.add_subcommands(dest="action")
    for action, function in command.items():
        subcommands.add_subcommand(action, _parser(function), help=str(function.__doc__).splitlines()[0])
    parsed = parser.parse_args(list(arguments[1:]))
    _call(command[parsed.action], parsed[parsed.action])


def _parser(function: Callable[..., None], **settings: Any) -> ArgumentParser:
    """Positional parameters become positional arguments (a list takes one or more), the others become options."""
    parser = ArgumentParser(description=str(function.__doc__).splitlines()[0], **settings)
    documented = {one.arg_name: one.description for one in docstring_parser.parse(str(function.__doc__)).params}
    positional = []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(name)
            required = parameter.default is parameter.empty
            count: dict[str, Any] = {"nargs": "+" if required else "*"} if parameter.annotation == list[str] else {}
            if not count and not required:
                count = {"nargs": "?"}
            default = {} if required else {"default": parameter.default}
            parser.add_argument(name, help=documented.get(name), **count, **default)
    parser.add_function_arguments(function, skip=set(positional), sub_configs=False)
    return parser


def _call(function: Callable[..., None], parsed: Namespace) -> None:
    function(**{name: parsed[name] for name in inspect.signature(function).parameters})
