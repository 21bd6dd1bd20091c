"""The section of a report on modular learning: what modules add to their backbone, and how they are best weighed."""

from __future__ import annotations

import math
from statistics import fmean

from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings, bold, with_sd
from benchmarks.reports.scores import Key, against_method, gate_weights

BACKBONE = "finetune"
COMPOSED = "moma-full"
FROZEN, EVEN = "moma-frozen", "moma-frozen-entropy"
SHOWN = (BACKBONE, COMPOSED, "moma-adapter", "moma-gate", FROZEN, EVEN, "moma-start", "moma-chgnet")
# Methods that weigh by AMC, and those that weigh the same modules in other ways.
ABLATIONS = {
    COMPOSED: ("moma-uniform-selected", "moma-uniform-all", "moma-random", "moma-softmax"),
    FROZEN: ("moma-frozen-uniform", "moma-frozen-random"),
    EVEN: (FROZEN, "moma-gate", "moma-frozen-uniform", "moma-frozen-random"),
}
PUBLISHED = ("MoE-(18)", "JMP-FT", "MoMa (Adapter)", "MoMa (Full)")


def is_modular(method: str) -> bool:
    """Whether a method belongs to this section and not to the main table."""
    return method in SHOWN or any(method in others for others in ABLATIONS.values())


def modular(found: Findings, document: Document) -> None:
    """Composed modules beside their own backbone, the published numbers, and other weights."""
    if not any(map(is_modular, found.methods)):
        return
    methods = [method for method in SHOWN if method in found.methods]
    document.add(
        f"`{BACKBONE}` is the backbone of all modules but those of `moma-chgnet`, fine-tuned alone: what `{COMPOSED}` "
        "gains over it is what modules are worth. Bold: the lowest of a row with all splits."
    )
    document.add(_table(found, methods))
    lines = []
    for method in methods[1:]:
        against, p = against_method(found.scores, method, BACKBONE)
        if against.changes:
            significance = "" if p is None else f", Wilcoxon p over tasks {p:.3f}"
            lines.append(
                f"`{method}` against `{BACKBONE}`: lower on {against.wins} of {len(against.changes)} tasks, "
                f"mean relative change {against.mean:+.1%}{significance}."
            )
    published = [card.published for card in found.cards.find() if card.published]
    changes = [theirs["MoMa (Full)"].mean / theirs["JMP-FT"].mean - 1 for theirs in published]
    lines.append(
        f"As published, MoMa (Full) against JMP-FT, its backbone: lower on {sum(change < 0 for change in changes)} of "
        f"{len(changes)} tasks, mean relative change {fmean(changes):+.1%}."
    )
    document.add(lines, *_goal(found))
    _weights(found, document)


def _table(found: Findings, methods: list[str]) -> Table:
    rows = []
    for task in found.tasks:
        card = found.cards.of(task)
        ours = {m: found.scores[Key(task, m)] for m in methods if Key(task, m) in found.scores}
        if task != card.name or not ours:
            continue
        theirs = {m: card.published[m].mean for m in PUBLISHED if m in card.published and card.comparable}
        best = min([*theirs.values(), *(one.mean for one in ours.values() if one.complete)], default=math.nan)
        cells = [card.title if found.cards.unit(task) == "1" else f"{card.title} ({found.cards.unit(task)})"]
        cells += [bold(f"{theirs[m]:.4g}", theirs[m] == best) if m in theirs else "" for m in PUBLISHED]
        cells += [bold(with_sd(ours[m]), ours[m].mean == best) if m in ours else "" for m in methods]
        rows.append(cells)
    return Table(["task", *PUBLISHED, *methods], rows)


def _goal(found: Findings) -> list[str]:
    """How many published numbers of MoMa (Full) any of our methods is below, on the same splits."""
    beaten: dict[str, str] = {}
    comparable = [task for task in found.tasks if task == found.cards.of(task).name and found.cards.of(task).comparable]
    for task in comparable:
        published = found.cards.of(task).published
        known = {key.method: one for key, one in found.scores.items() if key.task == task and not key.n_labels}
        whole = {method: one.mean for method, one in known.items() if one.complete}
        if whole and "MoMa (Full)" in published:
            method = min(whole, key=lambda name: whole[name])
            if whole[method] < published["MoMa (Full)"].mean:
                beaten[task] = method
    named = ", ".join(f"{found.cards.of(task).title} (`{method}`)" for task, method in beaten.items())
    return [
        f"Of all methods of this report with all splits, the best is below MoMa (Full) on {len(beaten)} of "
        f"{len(comparable)} comparable tasks: {named or 'none'}."
    ]


def _weights(found: Findings, document: Document) -> None:
    """AMC against other weights of the same modules, and against the learned gate."""
    rows = []
    for method, others in ABLATIONS.items():
        for other in others:
            against, p = against_method(found.scores, method, other)
            if against.changes:
                won = f"{against.wins}/{len(against.changes)}"
                rows.append([f"`{other}`", f"`{method}`", won, f"{against.mean:+.1%}", "" if p is None else f"{p:.3f}"])
    if rows:
        document.add((2, "Other weights of the same modules"))
        document.add("The weights of AMC against others, all else the same, on the tasks and splits that both have.")
        columns = ["other weights", "AMC", "tasks won", "mean relative change", "Wilcoxon p over tasks"]
        document.add(Table(columns, rows, text=("AMC",)))
    chosen, learned = (gate_weights(found.results, method) for method in ("moma-frozen", "moma-gate"))
    rows = []
    for task in (task for task in found.tasks if task in chosen and task in learned):
        shared = sum(min(weight, learned[task].get(tag, 0.0)) for tag, weight in chosen[task].items())
        tops = [max(weights[task], key=lambda tag: weights[task][tag]) for weights in (chosen, learned)]
        rows.append([found.cards.of(task).title, f"{shared:.2f}", *(f"`{top}`" for top in tops)])
    if rows:
        document.add((2, "Do AMC and the learned gate agree?"))
        document.add("Weight that both give to the same modules (1: the same, 0: disjoint), and the heaviest of each.")
        document.add(Table(["task", "shared weight", "AMC", "learned gate"], rows, text=("AMC", "learned gate")))
