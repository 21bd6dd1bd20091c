"""The section of a report on modular learning: what modules add to their backbone, and how they are best weighed."""

from __future__ import annotations

from statistics import fmean

from benchmarks.reports.document import Document, Table
from benchmarks.reports.findings import Findings
from benchmarks.reports.mae_tables import BOLD, mae_table
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
        "gains over it is what modules are worth. " + BOLD
    )
    own = [task for task in found.own_tasks if any(Key(task, method) in found.scores for method in methods)]
    document.add(mae_table(found, own, PUBLISHED, methods))
    lines = []
    for method in methods[1:]:
        against = against_method(found.scores, method, BACKBONE)
        if against.changes:
            lines.append(
                f"`{method}` against `{BACKBONE}`: lower on {against.wins} of {len(against.changes)} tasks, "
                f"mean relative change {against.mean:+.1%}."
            )
    published = [card.published for card in found.cards.find() if card.published]
    changes = [theirs["MoMa (Full)"].mean / theirs["JMP-FT"].mean - 1 for theirs in published]
    lines.append(
        f"As published, MoMa (Full) against JMP-FT, its backbone: lower on {sum(change < 0 for change in changes)} of "
        f"{len(changes)} tasks, mean relative change {fmean(changes):+.1%}."
    )
    document.add(lines)
    _weights(found, document)


def _weights(found: Findings, document: Document) -> None:
    """AMC against other weights of the same modules, and against the learned gate."""
    rows = []
    for method, others in ABLATIONS.items():
        for other in others:
            against = against_method(found.scores, method, other)
            if against.changes:
                won = f"{against.wins}/{len(against.changes)}"
                rows.append([f"`{other}`", f"`{method}`", won, f"{against.mean:+.1%}"])
    if rows:
        document.add((2, "Other weights of the same modules"))
        document.add(
            "The weights of AMC against others, all else the same, on the tasks of which both have all splits."
        )
        columns = ["other weights", "AMC", "tasks won", "mean relative change"]
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
