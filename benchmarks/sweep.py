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
from pathlib import Path

from rich.console import Console

from benchmarks import tasks
from benchmarks.cells.audit_runs import missing_audits, run_audits
from benchmarks.cells.engines import ENGINES
from benchmarks.cells.loop import Sweep, escaped, pending
from benchmarks.cells.protocols import resolve_tasks
from benchmarks.cells.results import RESULTS, grid
from benchmarks.cells.worker import Surroundings, provenance
from benchmarks.methods.cards import Method, list_methods, load_method


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
    parser.add_argument("--cards", type=Path, default=tasks.CARDS, help="folder of other task cards")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; returns 1 when a cell or an audit failed, 2 when it could not start."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    tasks.CARDS = options.cards.resolve()
    tasks.load_task.cache_clear()
    try:
        names = resolve_tasks(options.tasks, protocol=options.protocol)
        methods = [load_method(name, experts=options.experts) for name in options.methods]
        cells = list(grid(names, [m.name for m in methods], options.splits, options.seeds, options.n_labels or [None]))
        by_name = {method.name: method for method in methods}
        missing, notes = pending(cells, by_name, options.output)
        for note in notes:
            console.print(f"[yellow]{escaped(note)}[/yellow]", highlight=False, soft_wrap=True)
        console.print(
            f"{len(cells)} cells, {len(cells) - len(missing)} finished, {len(missing)} to run", highlight=False
        )
        data = options.data.resolve() if options.data else None
        audits = missing_audits(cells, by_name, data, options.output)
        if not missing and not audits.experts and not audits.problems:
            return 0
        for line in _uses(methods):
            console.print(f"[dim]{line}[/dim]", highlight=False, soft_wrap=True)
        sweep = Sweep(missing, by_name, Surroundings(data, tasks.CARDS, provenance()), options.output, console)
        engine = ENGINES[options.engine](options.workers)
    except (ValueError, ImportError, ConnectionError) as error:
        console.print(f"[red]{escaped(str(error))}[/red]", highlight=False, soft_wrap=True)
        return 2
    start = time.monotonic()
    try:
        problems = run_audits(audits, sweep.surroundings, options.output, engine, console)
        for problem in problems:
            console.print(f"[red]{escaped(problem)}[/red]", highlight=False, soft_wrap=True)
        if missing:
            sweep.run(engine)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        return 130
    finally:
        engine.close()
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    done = len(missing) - len(sweep.failed)
    console.print(
        f"{done} cells finished, {len(sweep.failed)} failed, {minutes}:{seconds:02d} min; results in {options.output}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if sweep.failed or problems else 0


if __name__ == "__main__":
    sys.exit(main())
