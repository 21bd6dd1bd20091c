"""The loop of a sweep: which cells have no result yet, and how these are run, task by task, and written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cells.results import (
    Cell,
    Result,
    ResultError,
    failed_result,
    is_finished,
    read_result,
    write_result,
)
from benchmarks.cells.worker import EmbeddedTasks, SweepContext, embed_tasks, run_cell
from benchmarks.methods.cards import Method
from moe_mat.engines import Engine
from moe_mat.tasks import TaskCards


@dataclass
class Sweep:
    """Cells on their way.

    Attributes:
        cells: those to run, task by task.
        methods: by name.
        context: of all cells.
        output: folder of results.
        console: where progress is shown.
    """

    cells: list[Cell]
    methods: dict[str, Method]
    context: SweepContext
    output: Path
    console: Console
    failed: list[Result] = field(default_factory=list)

    def run(self, engine: Engine) -> None:
        """Run all cells; each result is written as soon as it is there."""
        self._done_weight, self._start, self._n_done = 0.0, time.monotonic(), 0
        self._weights = {cell: _weight(cell, self.context.cards) for cell in self.cells}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as self._progress:
            total = sum(self._weights.values())
            self._bar = self._progress.add_task(f"0/{len(self.cells)} cells", total=total, left="")
            self._run(engine)

    def _run(self, engine: Engine) -> None:
        groups = deque(_groups(self.cells, self.context.cards))
        ready: deque[Cell] = deque()
        waiting: dict[tuple[str, ...], list[Cell]] = {}
        unfinished: dict[tuple[str, ...], int] = {}  # group -> cells that still need its embeddings
        running = 0

        def group_of(cell: Cell) -> tuple[str, ...]:
            return next(names for names in waiting if cell.task in names)

        def release(names: tuple[str, ...]) -> None:
            if not unfinished[names]:
                engine.release(names)

        while ready or groups or running:
            while running < engine.workers and (ready or groups):
                if ready:
                    cell = ready.popleft()
                    shared = engine.kept(group_of(cell))
                    engine.submit(cell, run_cell, cell, self.methods[cell.method], self.context, shared)
                else:
                    cells = groups.popleft()
                    names = tuple(dict.fromkeys(cell.task for cell in cells))
                    waiting[names] = cells
                    arguments = names, self._experts(cells), self.context, not engine.shares_cache
                    engine.submit(names, embed_tasks, *arguments, keep=True)
                running += 1
            name, answer = engine.next_done()
            running -= 1
            if isinstance(name, Cell):
                self._finish(name, answer)
                unfinished[group_of(name)] -= 1
                release(group_of(name))
            else:
                found = self._embedded(waiting[name], answer)
                unfinished[name] = len(found)
                ready.extend(found)
                release(name)

    def _experts(self, cells: Sequence[Cell]) -> list[str]:
        names = [name for cell in cells for name in self.methods[cell.method].experts]
        return list(dict.fromkeys(names))

    def _embedded(self, cells: Sequence[Cell], answer: EmbeddedTasks | BaseException) -> list[Cell]:
        """The cells that can run now; those of a task that cannot be used have failed."""
        if isinstance(answer, BaseException):
            problems = {cell.task: (f"{type(answer).__name__}: {answer}", "") for cell in cells}
        else:
            problems = answer.problems
            for warning in answer.warnings:
                self._tell(f"[yellow]{escaped(warning)}[/yellow]")
            for task, seconds in answer.seconds.items():
                if task not in problems:
                    self._tell(f"[dim]{task}: read and embedded in {seconds:.0f} s; {answer.fidelity[task]}[/dim]")
        for task, (error, _) in problems.items():
            self._tell(f"[red]{task} cannot be used:[/red] {escaped(error)}")
        for cell in cells:
            if cell.task in problems:
                error, trace = problems[cell.task]
                self._finish(cell, failed_result(cell, error=error, traceback=trace, **self.context.noted), tell=False)
        return [cell for cell in cells if cell.task not in problems]

    def _finish(self, cell: Cell, answer: Result | BaseException, *, tell: bool = True) -> None:
        if isinstance(answer, BaseException):
            error = f"{type(answer).__name__}: {answer}"
            answer = failed_result(cell, error=error, traceback=error, **self.context.noted)
        path = write_result(answer, self.output)
        self._n_done += 1
        self._done_weight += self._weights[cell]
        left = self._time_left()
        count = f"{self._n_done}/{len(self.cells)}"
        if is_finished(answer):
            unit = "" if answer["unit"] == "1" else f" {answer['unit']}"
            numbers = f"val {answer['val_mae']:.4g}, test {answer['test_mae']:.4g}{unit}"
            line = f"{count} {cell}: {numbers} ({answer['seconds']:.0f} s)"
        else:
            self.failed.append(answer)
            line = f"{count} {cell} [red]failed:[/red] {escaped(answer['error'])} ({path})"
        if tell:
            self._tell(f"{line}[dim]; {left}[/dim]")
        self._progress.update(self._bar, completed=self._done_weight, description=f"{count} cells", left=left)

    def _time_left(self) -> str:
        elapsed, total = time.monotonic() - self._start, sum(self._weights.values())
        minutes, seconds = divmod(round(elapsed / self._done_weight * (total - self._done_weight)), 60)
        return f"about {minutes}:{seconds:02d} min left"

    def _tell(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)


def _groups(cells: Sequence[Cell], cards: TaskCards) -> list[list[Cell]]:
    """Cells whose tasks come from one data set together, so that no crystal is embedded by two workers; large first."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cards.of(cell.task).recipe.dataset, []).append(cell)
    return sorted(groups.values(), key=lambda group: -sum(_weight(cell, cards) for cell in group))


def _weight(cell: Cell, cards: TaskCards) -> float:
    """About how long a cell takes, beside others: most methods see each row equally often."""
    return float(cards.of(cell.task).evidence.n_rows if cell.n_labels is None else 100 + cell.n_labels)


def escaped(text: str) -> str:
    """Text in which brackets are brackets, and no marks of the console."""
    return text.replace("[", "\\[")


def pending(cells: Sequence[Cell], methods: dict[str, Method], output: Path) -> tuple[list[Cell], list[str]]:
    """The cells without a valid result, and a line on every file that is there but not used."""
    missing, notes = [], []
    for cell in cells:
        path = cell.path(output)
        if not path.exists():
            missing.append(cell)
            continue
        try:
            result = read_result(path)
        except ResultError as error:
            notes.append(f"{error}; it is computed again")
            missing.append(cell)
            continue
        if not is_finished(result):
            missing.append(cell)
        elif result.get("method_digest") != methods[cell.method].digest:
            notes.append(f"{path} was made with other settings or experts of {cell.method}; it is computed again")
            missing.append(cell)
    return missing, notes
