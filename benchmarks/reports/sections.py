"""The sections of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean, median, stdev

from benchmarks.cells.results import Result, is_finished
from benchmarks.reports import figures
from benchmarks.reports.document import Document, Picture, Table
from benchmarks.reports.few_labels import few_shot, learning_curves
from benchmarks.reports.findings import GOALS, Findings, bold, file_name, in_order, with_sd
from benchmarks.reports.leakage import leak_free, leakage
from benchmarks.reports.modules import is_modular, modular
from benchmarks.reports.scores import (
    PUBLISHED,
    Key,
    against_method,
    against_published,
    gate_weights,
    inconsistencies,
    missing_cells,
    paired,
)

SIGNIFICANCE = (
    "How much the differences mean: splits of one task share most of their rows, so that p values are too small. With "
    "five splits Wilcoxon's two-sided p cannot be below 0.0625, and a paired t-test rests on four degrees of freedom; "
    "neither is corrected for the number of tasks. Read a difference as real where all splits agree in sign and it is "
    "large beside the standard deviation of the differences. Of the published methods only means are known: nothing "
    "can be paired with them, and a gap smaller than our standard error over splits says little."
)


def summary(found: Findings, document: Document) -> None:
    """What there is, and the two numbers that matter."""
    finished = [result for result in found.results if is_finished(result)]
    commits = sorted({str(result["commit"]) for result in finished if result.get("commit")})
    lines = [
        f"{len(finished)} finished cells of {len(found.methods)} methods on {len(found.tasks)} tasks; "
        f"{len(found.results) - len(finished)} failed, {len(found.problems)} damaged files left out.",
        f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; results of commits {', '.join(commits) or 'not noted'}.",
        "Test MAE, mean over the five splits, ± standard deviation between splits (n - 1). All choices were made on "
        "training and validation rows.",
    ]
    for published in GOALS:
        against = against_published(found.cards, found.scores, found.reference, published)
        if against.changes:
            lines.append(
                f"`{found.reference}` is below {published} on **{against.wins} of {len(against.changes)}** comparable "
                f"tasks; mean relative change **{against.mean:+.1%}**."
            )
    document.add(lines, *(f"**Note:** {note}." for note in inconsistencies(found.results)))


def main_table(found: Findings, document: Document) -> None:
    """A row a task, published columns first, and the same as a picture."""
    own = [task for task in found.tasks if task not in found.cards.matbench]
    comparable = [task for task in own if found.cards.of(task).comparable]
    if own:
        document.add((2, "Test MAE by task"))
    if comparable:
        document.add("Bold: the lowest of a row with all splits. Published columns are means over the same splits.")
        document.add(_mae_table(found, comparable, PUBLISHED))
        if methods := [method for method in found.methods if method != "median" and not is_modular(method)]:
            path = found.figures / "relative.png"
            figures.relative(
                found.scores, tasks=comparable, methods=methods, published=GOALS, cards=found.cards, path=path
            )
            document.add(Picture(path, f"Test MAE relative to {GOALS[0]}; left of the line is better"))
    if others := [task for task in own if task not in comparable]:
        document.add((3, "Tasks without comparable published numbers"), _mae_table(found, others, ()))


def _mae_table(found: Findings, tasks: Sequence[str], published: Sequence[str]) -> Table:
    methods = [method for method in found.methods if not is_modular(method)]
    rows = []
    for task in tasks:
        card, unit = found.cards.of(task), found.cards.unit(task)
        theirs = {method: card.published[method].mean for method in published if method in card.published}
        ours = {m: found.scores[Key(task, m)] for m in methods if Key(task, m) in found.scores}
        best = min([*theirs.values(), *(one.mean for one in ours.values() if one.complete)], default=math.nan)
        cells = [card.title if unit == "1" else f"{card.title} ({unit})"]
        cells += [bold(f"{theirs[m]:.4g}", theirs[m] == best) if m in theirs else "" for m in published]
        cells += [bold(with_sd(ours[m]), ours[m].mean == best) if m in ours else "" for m in methods]
        rows.append(cells)
    return Table(["task", *published, *methods], rows)


def published_methods(found: Findings, document: Document) -> None:
    """Wins and mean relative change against each published method."""
    rows, losses = [], []
    for method in found.methods:
        cells = [method]
        for published in PUBLISHED:
            against = against_published(found.cards, found.scores, method, published)
            n_tasks = len(against.changes)
            cells.append(f"{against.wins}/{n_tasks}, {against.mean:+.1%}" if n_tasks else "")
            lost = {task: change for task, change in against.changes.items() if change >= 0}
            if lost and method == found.reference and published in GOALS:
                named = ", ".join(f"{found.cards.of(task).title} {change:+.1%}" for task, change in lost.items())
                losses.append(f"`{method}` is not below {published} on: {named}.")
        if any(cells[1:]):
            rows.append(cells)
    if rows:
        document.add((2, "Against the published methods"))
        document.add("Wins out of the comparable tasks of which all five splits are there; mean relative change.")
        document.add(Table(["method", *PUBLISHED], rows), *([losses] if losses else []))
        sources = sorted({card.source for card in found.cards.find() if card.source})
        document.add(f"Source of the published numbers: {'; '.join(sources)}.")


def paired_differences(found: Findings, document: Document) -> None:
    """The reference method against each other one, on the same splits."""
    overall, rows = [], []
    for other in found.methods:
        if other == found.reference:
            continue
        against, p = against_method(found.scores, found.reference, other)
        if against.changes:
            overall.append([other, f"{against.wins}/{len(against.changes)}", f"{against.mean:+.1%}", _p_value(p)])
        for task in found.tasks:
            pair = paired(found.scores, task, found.reference, other)
            if pair is None:
                continue
            values = list(pair.by_split.values())
            spread = f"{stdev(values):.2g}" if len(values) > 1 else ""
            won = f"{sum(value < 0 for value in values)}/{len(values)}"
            numbers = " ".join(f"{value:+.3g}" for value in values)
            rows.append(
                [
                    other,
                    task,
                    f"{fmean(values):+.3g}",
                    spread,
                    won,
                    _p_value(pair.t_test),
                    _p_value(pair.wilcoxon),
                    numbers,
                ]
            )
    if rows:
        document.add((2, f"`{found.reference}` against the other methods, paired"))
        document.add(Table(["other method", "tasks won", "mean relative change", "Wilcoxon p over tasks"], overall))
        document.add((3, "Split by split"))
        document.add(f"Test MAE of `{found.reference}` minus that of the other method on the same split.")
        header = ["other method", "task", "mean", "sd", "splits won", "t-test p", "Wilcoxon p", "by split"]
        document.add(Table(header, rows, text=("task",)), SIGNIFICANCE)


def _p_value(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def matbench(found: Findings, document: Document) -> None:
    """Our methods among the entries of the leaderboard."""
    for task in found.tasks:
        card = found.cards.of(task)
        if task == card.name or card.matbench is None:
            continue
        if (2, "Matbench") not in document.blocks:
            document.add((2, "Matbench"), "Matbench v0.1: its five folds, raw units, mean over folds of the test MAE.")
        ours = {m: found.scores[Key(task, m)] for m in found.methods if Key(task, m) in found.scores}
        lines = [(one.mean, f"**{method}**", f"**{with_sd(one)}**") for method, one in ours.items()]
        lines += [(mae, method, f"{mae:.4g}") for method, mae in card.matbench.mae.items()]
        unit = f" ({card.matbench.unit})" if card.matbench.unit != "1" else ""
        rows = [[method, text] for _, method, text in sorted(lines)]
        document.add((3, f"{task}{unit}"), Table(["method", "MAE"], rows), f"Rows: {card.matbench.rows}.")


def gates(found: Findings, document: Document) -> None:
    """Which experts each task listens to."""
    document.add((2, "Gate weights"))
    empty = True
    for method in found.methods:
        weights = gate_weights(found.results, method)
        for suffix, names in (("", found.cards.names()), (", Matbench", list(found.cards.matbench))):
            shown = {task: weights[task] for task in names if len(weights.get(task, ())) > 1}
            if shown:
                path = found.figures / f"gates_{file_name(method + suffix)}.png"
                figures.heat_map(shown, title=f"{method}{suffix}", cards=found.cards, path=path)
                document.add(Picture(path, f"Gate weights of {method}{suffix}, mean over splits; each row sums to 1"))
                empty = False
    if empty:
        document.blocks.pop()


def parity(found: Findings, document: Document) -> None:
    """Predicted against true values of the reference method."""
    by_task: dict[str, list[Result]] = {}
    for result in found.results:
        whole = is_finished(result) and not result.get("n_labels") and "predictions" in result
        if whole and result["method"] == found.reference:
            by_task.setdefault(result["task"], []).append(result)
    if by_task:
        path = found.figures / f"parity_{file_name(found.reference)}.png"
        figures.parity({task: by_task[task] for task in found.tasks if task in by_task}, cards=found.cards, path=path)
        document.add((2, "Parity"), Picture(path, f"Predictions of {found.reference} for the test rows of all splits"))


def cost(found: Findings, document: Document) -> None:
    """Seconds and memory."""
    rows = []
    for method in found.methods:
        seconds = [s for key, one in found.scores.items() if key.method == method for s in one.seconds]
        memory = [r["peak_memory_mib"] for r in found.results if r["method"] == method and r.get("peak_memory_mib")]
        numbers = [f"{value:.3g}" for value in (median(seconds), max(seconds), sum(seconds) / 60)]
        rows.append([method, str(len(seconds)), *numbers, f"{max(memory)}" if memory else ""])
    document.add((2, "Cost"), "Fit and prediction on one thread, embeddings from the cache.")
    document.add(Table(["method", "cells", "median s", "longest s", "all, min", "peak memory, MiB"], rows))


def fidelity(found: Findings, document: Document) -> None:
    """Where rows and splits come from, and what shows that a task is what it says."""
    noted: dict[str, set[str]] = {}
    for result in found.results:
        if result.get("fidelity"):
            noted.setdefault(result["task"], set()).add(result["fidelity"])
    rows = []
    for task in found.tasks:
        card = found.cards.of(task)
        evidence = f"{card.evidence.n_rows} rows, mean {card.evidence.mean:.6g}, sd {card.evidence.std:.6g}"
        comparable = "yes" if card.rows == "published" else str(card.rows)
        words = " / ".join(sorted(noted.get(task, {card.fidelity})))
        if task != card.name and card.matbench is not None:
            words = card.matbench.rows
        elif not card.published:
            comparable = "no published number"
        rows.append([task, comparable, words, evidence])
    document.add((2, "Where rows and splits come from"))
    header = ["task", "exactly comparable", "rows and splits", "target, as on the card"]
    document.add(Table(header, rows, text=header))


def gaps(found: Findings, document: Document) -> None:
    """Cells without a number, and files that were not used."""
    lines = []
    for method in sorted({result["method"] for result in found.results}, key=in_order):
        used = {result["task"] for result in found.results if result["method"] == method and not result.get("n_labels")}
        for names in (found.cards.names(), list(found.cards.matbench)):
            missing = missing_cells(found.results, method, names if used & set(names) else [])
            lines += [f"`{method}` {task}: {text}" for task, text in missing.items()]
    document.add((2, "Missing cells"), lines or "None.")
    if found.problems:
        document.add((2, "Damaged files, not used"), list(found.problems))


SECTIONS = (
    summary,
    main_table,
    published_methods,
    paired_differences,
    modular,
    leak_free,
    leakage,
    matbench,
    gates,
    parity,
    learning_curves,
    few_shot,
    cost,
    fidelity,
    gaps,
)
