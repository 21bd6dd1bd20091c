"""The appendices on what the numbers rest on: their cost, the rows of the tasks, and what is missing."""

from __future__ import annotations

from statistics import median

from benchmarks.cells.results import is_finished
from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, in_order
from benchmarks.reports.scores import missing_cells


def cost(found: Findings, document: Document) -> None:
    """Seconds and memory."""
    document.add("Fit and prediction on one thread, embeddings from the cache.")
    rows = [[method, *cost_of(found, method)] for method in found.methods]
    document.add(Table(["method", "cells", "median s", "longest s", "all, min", "peak memory, MiB"], rows))


def cost_of(found: Findings, method: str) -> list[str]:
    """Number of cells, seconds of the median and of the longest, minutes of all, and peak memory where it is known."""
    scores = {key: one for key, one in found.scores.items() if key.method == method}
    whole = [one for key, one in scores.items() if not key.n_labels]  # few labels cost next to nothing
    seconds = [s for one in whole or scores.values() for s in one.seconds]
    memory = [r["peak_memory_mib"] for r in found.results if r["method"] == method and r.get("peak_memory_mib")]
    numbers = [f"{value:.3g}" for value in (median(seconds), max(seconds), sum(seconds) / 60)]
    return [str(len(seconds)), *numbers, f"{max(memory)}" if memory else ""]


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
    header = ["task", "exactly comparable", "rows and splits", "target, as on the card"]
    document.add(Table(header, rows, text=header))
    commits = commits_of(found)
    document.add(f"The code that made the results: commits {', '.join(commits) if commits else 'not noted'}.")


def commits_of(found: Findings) -> list[str]:
    """Commits that finished results were made with; one with a plus had changes that were not committed."""
    return sorted({str(result["commit"]) for result in found.results if is_finished(result) and result.get("commit")})


def gaps(found: Findings, document: Document) -> None:
    """Cells without a number, and files that were not used."""
    lines = []
    for method in sorted({result["method"] for result in found.every}, key=in_order):
        used = {result["task"] for result in found.every if result["method"] == method and not result.get("n_labels")}
        for names in (found.cards.names(), list(found.cards.matbench)):
            missing = missing_cells(found.every, method, names if used & set(names) else [])
            lines += [f"`{method}` {task}: {text}" for task, text in missing.items()]
    document.add(lines or "No cell is missing.")
    if found.problems:
        document.add((2, "Damaged files, not used"), list(found.problems))
