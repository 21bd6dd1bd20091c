"""Tasks x splits x methods x seeds: ``python -m benchmarks.sweep --help``.

A finished cell is never run again, unless its file is damaged or its method has changed; so a sweep that was killed
goes on where it was, and a cell can be run alone. Crystals are embedded once a task, before its cells. First of all a
sweep finds out which crystals of its tasks the experts were trained on, as far as that is not known yet.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.cells.audit_runs import Missing, missing_audits, run_audits
from benchmarks.cells.loop import Sweep, escaped, pending
from benchmarks.cells.protocols import resolve_tasks
from benchmarks.cells.results import RESULTS, Cell, grid
from benchmarks.cells.worker import SweepContext, provenance
from benchmarks.methods.cards import Method, list_methods, load_method
from moe_mat.cli import Stopped, signals_as_exceptions
from moe_mat.engines import ENGINES, Engine, start_engine
from moe_mat.files import data_folder, task_cards_folder
from moe_mat.tasks import TaskCards


def _uses(methods: Sequence[Method]) -> list[str]:
    """Which methods use which experts, a line for each set."""
    users: dict[tuple[str, ...], list[str]] = {}
    for method in methods:
        if method.experts:
            users.setdefault(method.experts, []).append(method.name)
    return [
        f"{', '.join(names)}: {len(experts)} experts, {', '.join(Path(expert).stem for expert in experts)}"
        for experts, names in users.items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of prepared data; by default MOE_MAT_DATA")
    parser.add_argument("--tasks", nargs="+", default=["all"], help="tasks, or all")
    parser.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="numbers of splits or folds")
    methods = ", ".join(list_methods())
    parser.add_argument(
        "--methods", nargs="+", default=["moe"], help=f"{methods}; tl:<expert>, tl:best; or a card file"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--n-labels", nargs="+", type=int, help="labels that methods may see, training and validation")
    parser.add_argument(
        "--experts",
        nargs="+",
        default=[],
        metavar="EXPERT",
        help="tags, patterns or folders of cards, in place of those of tl, concat, ensemble and moe-published",
    )
    parser.add_argument("--protocol", choices=["published", "matbench"], default="published")
    parser.add_argument("--workers", type=int, default=1, help="cells at once, one thread each")
    parser.add_argument("--engine", choices=list(ENGINES), default="processes")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of results")
    parser.add_argument("--cards", type=Path, default=task_cards_folder(), help="folder of other task cards")
    return parser


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep has to do.

    Attributes:
        n_cells: in all.
        missing: cells without a valid result.
        notes: on results that are there but not used, a line each.
        methods: by name.
        audits: that are missing.
        context: of the sweep.
    """

    n_cells: int
    missing: Sequence[Cell]
    notes: Sequence[str]
    methods: dict[str, Method]
    audits: Missing
    context: SweepContext

    @classmethod
    def of(cls, options: argparse.Namespace) -> Plan:
        """The plan of a command line.

        Raises:
            ValueError: there is no such task, method or expert.
        """
        cards = TaskCards(options.cards.resolve())
        data = (options.data or data_folder()).resolve()
        context = SweepContext(data, cards, provenance())
        names = resolve_tasks(options.tasks, cards, protocol=options.protocol)
        methods = [load_method(name, experts=options.experts) for name in options.methods]
        cells = list(grid(names, [m.name for m in methods], options.splits, options.seeds, options.n_labels or [None]))
        by_name = {method.name: method for method in methods}
        missing, notes = pending(cells, by_name, options.output)
        return cls(
            len(cells), missing, notes, by_name, missing_audits(cells, by_name, context, options.output), context
        )

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do."""
        return not self.missing and not self.audits.experts and not self.audits.problems

    def lines(self) -> list[str]:
        """What the console shows of it."""
        notes = [f"[yellow]{escaped(note)}[/yellow]" for note in self.notes]
        n_missing = len(self.missing)
        count = f"{self.n_cells} cells, {self.n_cells - n_missing} finished, {n_missing} to run"
        uses = [] if self.empty else [f"[dim]{line}[/dim]" for line in _uses(list(self.methods.values()))]
        return [*notes, count, *uses]


def _run(plan: Plan, engine: Engine, output: Path, console: Console) -> tuple[int, int]:
    """Make the audits and run the cells; returns how many audits and cells failed."""
    problems = run_audits(plan.audits, plan.context, output, engine, console)
    for problem in problems:
        console.print(f"[red]{escaped(problem)}[/red]", highlight=False, soft_wrap=True)
    sweep = Sweep(list(plan.missing), plan.methods, plan.context, output, console)
    if plan.missing:
        sweep.run(engine)
    return len(problems), len(sweep.failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; returns 1 when a cell or an audit failed, 2 when it could not start, 128 + n for a signal n."""
    options, console = _parser().parse_args(arguments), Console(stderr=True)
    try:
        with signals_as_exceptions():
            return _sweep(options, console)
    except Stopped as stopped:
        stopped.advice = "what is written is kept: the same command goes on from there"
        console.print(f"benchmarks.sweep: {stopped}", highlight=False, soft_wrap=True)
        return stopped.status


def _sweep(options: argparse.Namespace, console: Console) -> int:
    try:
        plan = Plan.of(options)
        for line in plan.lines():
            console.print(line, highlight=False, soft_wrap=True)
        if plan.empty:
            return 0
        engine = start_engine(options.engine, options.workers)
    except (ValueError, ImportError, ConnectionError) as error:
        console.print(f"[red]{escaped(str(error))}[/red]", highlight=False, soft_wrap=True)
        return 2
    start = time.monotonic()
    try:
        n_problems, n_failed = _run(plan, engine, options.output, console)
    except OSError as error:  # of a file that cannot be written
        console.print(f"benchmarks.sweep: {escaped(str(error))}; the same command goes on from here", soft_wrap=True)
        return 1
    finally:
        engine.close()
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    done = len(plan.missing) - n_failed
    console.print(
        f"{done} cells finished, {n_failed} failed, {minutes}:{seconds:02d} min; results in {options.output}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if n_failed or n_problems else 0


if __name__ == "__main__":
    sys.exit(main())
