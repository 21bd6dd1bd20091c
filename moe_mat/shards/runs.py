"""Parts are computed: by any engine, those alone that are not finished."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from moe_mat.crystals.errors import CrystalError, LeftOut, OnError
from moe_mat.crystals.readers import crystals_of_rows, open_table
from moe_mat.crystals.tables import Table
from moe_mat.engines import Engine, WorkerDiedError, answers
from moe_mat.files.checksum import file_sha256
from moe_mat.files.processes import LostProcessError
from moe_mat.files.progress import Progress
from moe_mat.files.whole import whole_file
from moe_mat.shards.parts import PartRecord, finished_part, parquet_writer, part_path
from moe_mat.shards.plan import Plan
from moe_mat.shards.work import Maker, Work

logger = logging.getLogger(__name__)


class PartsFailedError(ChildProcessError):
    """Parts whose workers have died, again and again; the others are there."""


@dataclass(frozen=True)
class PartTask:
    """What a worker is told: plain data, with absolute paths.

    Attributes:
        work: What is made of crystals.
        source: Where they are.
        folder: Of parts and plan.
        plan: Its digest.
        on_error: What a bad crystal does.
        workers: Processes that embed, of one that computes parts.
    """

    work: Work
    source: Path
    folder: Path
    plan: str
    on_error: OnError
    workers: int = 1


def compute_parts(
    task: PartTask, plan: Plan, numbers: Sequence[int], engine: Engine, *, what: str
) -> dict[int, PartRecord]:
    """Compute those of some parts that are not finished; each is there whole as soon as it is done.

    Args:
        task: What is made of which crystals.
        plan: Of its folder.
        numbers: Of the parts.
        engine: Where they are computed.
        what: What is done, for the bar.

    Returns:
        Number to record, of all these parts.

    Raises:
        ValueError: A part is of another plan, or a crystal cannot be used; names it.
        PartsFailedError: Workers, or processes of theirs, have died of some; names them.
    """
    kept = {number: finished_part(task.folder, plan, number) for number in numbers}
    finished = {number: record for number, record in kept.items() if record is not None}
    if finished:
        logger.info("%d of %d parts are finished already in %s", len(finished), len(numbers), task.folder)
    to_do = [number for number in numbers if number not in finished]
    failed: dict[int, BaseException] = {}
    told: set[str] = set()
    try:
        with Progress(what, total=sum(len(plan.rows(number)) for number in to_do)) as progress:
            for number, answer in answers(engine, ((number, compute_part, (task, number)) for number in to_do)):
                if isinstance(answer, WorkerDiedError | LostProcessError):
                    failed[number] = answer
                    logger.warning("%s: %s", part_path(task.folder, number), answer)
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                finished[number], warnings = answer
                for warning in warnings:
                    if warning not in told:
                        logger.warning("%s", warning)
                told.update(warnings)
                progress.advance(len(plan.rows(number)))
    finally:
        _forget()
    if failed:
        names = ", ".join(part_path(task.folder, number).name for number in failed)
        raise PartsFailedError(
            f"{len(failed)} of {len(numbers)} parts failed ({names}): {next(iter(failed.values()))}; the same command "
            "tries them again, and fewer --workers need less memory"
        )
    return dict(sorted(finished.items()))


def compute_part(task: PartTask, number: int) -> tuple[PartRecord, list[str]]:
    """Compute one part, in a worker; returns its record, and warnings meanwhile."""
    with _gathered_warnings() as warnings, _loaded(task) as (maker, table, plan):
        rows, left_out, written = plan.rows(number), list[LeftOut](), 0

        def refuse(problem: LeftOut) -> None:
            if task.on_error == "raise":
                raise CrystalError(problem)
            left_out.append(problem)

        crystals = crystals_of_rows(
            table,
            rows,
            id_column=plan.id_column,
            taken=plan.ids.taken(rows),
            on_error=task.on_error,
            left_out=left_out,
        )
        with whole_file(part_path(task.folder, number)) as part:
            with parquet_writer(part, maker.schema) as writer:
                for some in maker.tables(crystals, refuse=refuse):
                    writer.write_table(some)
                    written += len(some)
            size, sha256 = part.stat().st_size, file_sha256(part)
        record = PartRecord(
            part=number,
            rows=(rows.start, rows.stop),
            written=written,
            left_out=tuple(left_out),
            size=size,
            sha256=sha256,
            plan=plan.digest,
            made_with=plan.made_with,
        )
        record.write(task.folder)
    return record, warnings


_kept: dict[PartTask, tuple[Maker, Table, Plan]] = {}
"""What this process needs for all parts of a task, if it has computed one."""


@contextmanager
def _loaded(task: PartTask) -> Iterator[tuple[Maker, Table, Plan]]:
    """What a worker needs for a part, and keeps for the next one, if this one succeeds."""
    if task not in _kept:
        _forget()
        plan = Plan.read(task.folder)
        table = open_table(task.source, structure_column=plan.structure_column)
        _kept[task] = task.work.start(task.workers), table, plan
    with ExitStack() as stack:
        stack.push(_kept[task][0])
        stack.callback(_kept.clear)
        yield _kept[task]
        stack.pop_all()


def _forget() -> None:
    """End what is kept, with its processes."""
    while _kept:
        maker, _, _ = _kept.popitem()[1]
        with maker:
            pass


@contextmanager
def _gathered_warnings() -> Iterator[list[str]]:
    """Warnings of the library, for whoever asked: a worker has no terminal, and each would tell them again."""
    messages: list[str] = []

    class Gather(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    own = logging.getLogger("moe_mat")
    handler, propagates = Gather(logging.WARNING), own.propagate
    own.addHandler(handler)
    own.propagate = False
    try:
        yield messages
    finally:
        own.removeHandler(handler)
        own.propagate = propagates
