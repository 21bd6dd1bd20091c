"""The part of a sweep that audits its tasks: which crystals the experts of its methods were trained on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.cells.audits import Audit, Seen, is_current, read_audit
from benchmarks.cells.results import Cell
from benchmarks.cells.worker import SweepContext
from benchmarks.methods.cards import Method
from moe_mat.audit import Exposure, exposure_of, match
from moe_mat.engines import Engine, answers
from moe_mat.files import file_sha256
from moe_mat.tasks import prepared_path, read_task
from moe_mat.zoo import find_cards


@dataclass(frozen=True, slots=True)
class Missing:
    """Audits that are not there, or not as they would be now.

    Attributes:
        experts: task -> tags or card files of experts.
        problems: why audits cannot be made, a line each.
    """

    experts: Mapping[str, Sequence[str]]
    problems: Sequence[str]


def missing_audits(
    cells: Sequence[Cell], methods: Mapping[str, Method], context: SweepContext, results: Path
) -> Missing:
    """Compare the audits in a folder of results with the tasks and experts of some cells.

    Args:
        cells: of a sweep, finished or not.
        methods: by name.
        context: of the sweep.
        results: folder of results.
    """
    names: dict[str, dict[str, None]] = {}
    for cell in cells:
        names.setdefault(context.cards.of(cell.task).name, {}).update(dict.fromkeys(methods[cell.method].experts))
    experts: dict[str, Sequence[str]] = {}
    problems: dict[str, None] = {}
    checksums: dict[str, str | None] = {}
    exposures: dict[Path, Exposure] = {}
    for task, references in names.items():
        path = prepared_path(context.data, task)
        if not references or not path.is_file():  # what is wrong with the task, its cells will tell
            continue
        audit = read_audit(results, task)
        digest = data_digest(path, context.cards.of(task).quantity)
        wanted = []
        for card in find_cards(list(references)):
            try:
                exposure = exposures.setdefault(card.path, exposure_of(card))
                files = source_files(exposure, context.data, checksums)
                if not is_current(audit, data=digest, tag=card.tag, exposure=exposure, files=files):
                    wanted.append(card.reference)
            except (ValueError, OSError) as error:
                problems[f"{card.tag} cannot be audited: {error}"] = None
        if wanted:
            experts[task] = wanted
    return Missing(experts, list(problems))


def data_digest(path: Path, quantity: str) -> str:
    """Digest of all that an audit depends on, beside the experts."""
    return f"{file_sha256(path)} {quantity}"


def source_files(exposure: Exposure, data: Path, known: dict[str, str | None]) -> dict[str, str | None]:
    """File of each source of an exposure -> its checksum, or None where it is not there.

    Args:
        exposure: of an expert.
        data: folder of prepared data.
        known: checksums, which are added to.
    """
    files = [file for one in exposure.known for file in one.files]
    for file in files:
        if file not in known:
            path = data / "pretrain" / file
            known[file] = file_sha256(path) if path.is_file() else None
    return {file: known[file] for file in files}


def audit_tasks(names: Sequence[str], experts: Sequence[str], context: SweepContext) -> list[Audit]:
    """Audit tasks that have crystals in common: what a worker does."""
    tasks = [read_task(context.cards.load(name), context.data) for name in names]
    structures = [structure for task in tasks for structure in task.structures]
    matches = match(structures, find_cards(list(experts)), sources=context.data / "pretrain")
    checksums: dict[str, str | None] = {}
    audits, start = [], 0
    for task in tasks:
        rows = slice(start, start + len(task.structures))
        start = rows.stop
        overlaps = matches.overlaps(task.card.quantity)
        files = [source_files(one.exposure, context.data, checksums) for one in overlaps]
        audits.append(
            Audit(
                task=task.card.name,
                quantity=task.card.quantity,
                data=data_digest(task.path, task.card.quantity),
                ids=task.table["material_id"].astype(str).tolist(),
                experts={tag: one.exposure.digest for one in overlaps for tag in one.experts},
                seen={o.exposure.digest: Seen.of(o, rows, f) for o, f in zip(overlaps, files, strict=True)},
            )
        )
    return audits


def run_audits(missing: Missing, context: SweepContext, results: Path, engine: Engine, console: Console) -> list[str]:
    """Make the audits that are missing; each is written as soon as it is there.

    Returns:
        What went wrong, a line each.
    """
    problems = list(missing.problems)
    groups: dict[tuple[str, Sequence[str]], list[str]] = {}
    for task, experts in missing.experts.items():
        groups.setdefault((context.cards.of(task).recipe.dataset, tuple(experts)), []).append(task)
    jobs = [(tuple(tasks), audit_tasks, (tuple(tasks), experts, context)) for (_, experts), tasks in groups.items()]
    start = time.monotonic()
    for names, answer in answers(engine, jobs):
        if isinstance(answer, BaseException):
            problems.append(f"{', '.join(names)} cannot be audited: {type(answer).__name__}: {answer}")
            continue
        for audit in answer:
            audit.joined(read_audit(results, audit.task)).write(results)
        seconds = f"{time.monotonic() - start:.0f} s"
        text = f"[dim]{', '.join(names)}: found what {len(answer[0].experts)} experts have seen of it; {seconds}[/dim]"
        console.print(text, highlight=False, soft_wrap=True)
    return problems
