"""``moe-mat data``: list, fetch and prepare the data of the benchmark's tasks."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from moe_mat import tasks as benchmark
from moe_mat.cli.screen import Facts, PartlyFailedError, screen
from moe_mat.crystals.errors import FetchError
from moe_mat.files.folders import data_folder


def data_list(tasks: list[str] = ["*"], *, data: str | None = None) -> Facts:  # noqa: B006 - never changed
    """List the benchmark's tasks: where rows and splits come from, and how faithful they are.

    Args:
        tasks: Names or patterns.
        data: Folder of prepared data (MOE_MAT_DATA).
    """
    folder = data_folder() if data is None else Path(data)
    table = Table(
        "task", "matminer data set", "rows", "target mean, sd", "prepared rows", "origin", "splits", "fidelity"
    )
    facts = []
    for card in benchmark.TaskCards().find(tasks):
        found, source = benchmark.describe_task(card, folder), card.recipe.dataset
        n_rows, numbers = str(card.evidence.n_rows), f"{card.evidence.mean:.5g}, {card.evidence.std:.5g}"
        table.add_row(card.name, source, n_rows, numbers, found.rows, found.origin, found.splits, card.fidelity)
        facts.append({"task": card.name, "dataset": source, "rows": card.evidence.n_rows, "prepared": found.rows})
    screen.print(table)
    screen.text(f"prepared data: {folder}")
    return {"folder": folder, "tasks": facts}


def data_fetch(names: list[str] = ["*"]) -> Facts:  # noqa: B006 - never changed
    """Download what the benchmark's tasks are made from, checked against matminer's checksums.

    Args:
        names: Tasks, patterns of tasks, or matminer data sets.
    """
    files = []
    for path in benchmark.fetch_sources(names, benchmark.TaskCards()):
        screen.text(str(path))
        files.append(path)
    return {"files": files}


def data_prepare(tasks: list[str] = ["*"], *, data: str | None = None) -> Facts:  # noqa: B006 - never changed
    """Build the benchmark's tasks from matminer's data sets, which are downloaded where they are missing.

    Args:
        tasks: Names or patterns.
        data: Folder of prepared data (MOE_MAT_DATA).

    Raises:
        PartlyFailedError: When a task fails; all are tried first.
    """
    folder = data_folder() if data is None else Path(data)
    outcomes, failed = {}, []
    for card in benchmark.TaskCards().find(tasks):
        try:
            outcomes[card.name] = str(benchmark.build_task(card, folder))
            screen.text(f"ok      {outcomes[card.name]}")
        except (FetchError, ValueError, OSError) as error:
            failed.append(card.name)
            outcomes[card.name] = f"failed: {error}"
            screen.text(f"FAILED  {card.name}: {error}")
    facts = {"folder": folder, "tasks": outcomes}
    if failed:
        raise PartlyFailedError(f"{len(failed)} tasks failed: {', '.join(failed)}", facts)
    return facts
