"""The first page of a report: what was measured, what came out, and what to be careful about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from benchmarks.cells.results import is_finished
from benchmarks.methods.cards import learned_from, title_of
from benchmarks.reports.appendices import APPENDICES
from benchmarks.reports.comparisons import clearly_below, clearly_lower, lost_to
from benchmarks.reports.document import Document, Picture, Table, anchor
from benchmarks.reports.findings import GOALS, Findings
from benchmarks.reports.leakage import not_audited, standings
from benchmarks.reports.mae_tables import BOLD, draw_relative, mae_table
from benchmarks.reports.modules import is_modular
from benchmarks.reports.provenance import commits_of, cost_of
from benchmarks.reports.scores import against_method, against_published, inconsistencies
from moe_mat.tasks import N_SPLITS

# What the published numbers to reach are.
GOAL_TITLES = {
    "MoE-(18)": "published, the mixture of 18 experts of Chang et al. (2022), as run again by the authors of MoMa",
    "MoMa (Full)": "published, composed modules of a network of 160 million parameters, fine-tuned (Wang et al., 2026)",
}
# Methods beside the reference in the main table: simple ones, the best of modules, and variants of ours.
BESIDE = ("rf-magpie", "lightgbm", "modnet", "moma-frozen-entropy", "moe-strict", "moe-train-only")
# Of which the gain over the published mixture, run by us on the same rows, is stated.
OURS, PEER = ("moe", "moe-train-only", "moe-strict"), "moe-published"
MAIN_TABLE, CONTENTS = "Test MAE by task", "Appendices"
# What only those know who chose a method's settings.
CAUTIONS = {"moe": "The design of `moe` was compared on these same tasks: expect a little less on new ones."}


def first_page(found: Findings, appendices: Mapping[str, Document]) -> Document:
    """The page, at most 150 lines of Markdown.

    Args:
        found: what it is made from.
        appendices: name -> page that it links to.
    """
    document = Document("Benchmark report")
    _measured(found, document)
    _headline(found, document)
    _main_table(found, document)
    _leak_free(found, appendices, document)
    _other_methods(found, appendices, document)
    _cost(found, document)
    _cautions(found, document)
    _contents(appendices, document)
    return document


def shown_methods(found: Findings) -> list[str]:
    """The methods of the main table, the reference first."""
    known = found.methods_on(found.own_tasks)
    others = [method for method in known if method not in (found.reference, *BESIDE) and not is_modular(method)]
    beside = [method for method in BESIDE if method in known and method != found.reference]
    # Methods that nobody has put on the list fill it up.
    return [
        found.reference,
        *sorted([*beside, *reversed(others)][: len(BESIDE)], key=list(found.methods).index),
    ]


def _measured(found: Findings, document: Document) -> None:
    own = found.own_tasks
    theirs = len(found.tasks) - len(own)
    counted = [found.cards.of(task).evidence.n_rows for task in own]
    kinds = []
    if own:
        rows = f"{min(counted)} to {max(counted)} crystals" if len(own) > 1 else f"{counted[0]} crystals"
        kinds.append(f"{len(own)} tasks of matminer with little data ({rows})")
    if theirs:
        kinds.append(f"{theirs} of Matbench with its folds")
    described = {f"`{found.reference}`": title_of(found.reference), **GOAL_TITLES}
    n_finished = sum(map(is_finished, found.every))
    n_left_out = n_finished - len(found.results)
    n_commits = len(commits_of(found))
    document.add(
        f"Mean absolute error (MAE) on test crystals, mean over {N_SPLITS} splits [95 % interval, bootstrap over "
        f"crystals]. {len(found.methods)} methods on {' and '.join(kinds) or 'no task with all labels'}. "
        "All choices inside a run were made on training and validation rows. A method that lacks a split of a task is "
        "neither shown nor counted there.",
        [f"{name}: {title}." for name, title in described.items() if title],
        f"{n_finished} finished cells (a method on a split of a task), {len(found.every) - n_finished} failed, "
        f"{n_left_out} [of methods that lack a split](page:missing), "
        f"{len(found.problems)} damaged files left out; written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from results of "
        f"{n_commits or 'unknown'} [{'commit' if n_commits == 1 else 'commits'}](page:rows).",
        *(f"**Note:** {note}." for note in inconsistencies(found.results)),
    )


def _headline(found: Findings, document: Document) -> None:
    lines = []
    for published in GOALS:
        against = against_published(found.cards, found.scores, found.reference, published)
        if against.changes:
            lost = lost_to(found, against)
            lines.append(
                f"`{found.reference}` is below {published} on **{against.wins} of {len(against.changes)}** comparable "
                f"tasks, beyond its 95 % interval on {len(clearly_below(found, found.reference, published))}; mean "
                f"relative change **{against.mean:+.1%}**." + (f" Not below on: {lost}." if lost else "")
            )
    for method in OURS:
        gain = against_method(found.scores, method, PEER)
        if gain.changes:
            lines.append(
                f"`{method}` against `{PEER}`, our run of Chang et al. on the same rows: lower on {gain.wins} of "
                f"{len(gain.changes)} tasks, clearly (the interval of the difference excludes zero) on "
                f"{len(clearly_lower(found, method, PEER))}; mean relative change {gain.mean:+.1%}."
            )
    if lines:
        document.add((2, "Headline"), lines)


def _main_table(found: Findings, document: Document) -> None:
    own = found.own_tasks
    if not own:
        return
    beside = shown_methods(found)[1:]
    comparable = [task for task in own if found.cards.of(task).comparable]
    tasks = [*comparable, *(task for task in own if task not in comparable)]
    document.add((2, MAIN_TABLE))
    document.add(
        f"{BOLD} Learned from: the rows on which a method is fitted in the end; any may choose by validation rows. "
        "Nothing published is comparable where the first columns are empty. [All methods and all published "
        "numbers](page:methods); [medians, R² and MAEs without the largest errors](page:errors)."
    )
    document.add(mae_table(found, tasks, GOALS, [found.reference, *beside]))
    if comparable:
        path = found.figures / "relative.png"
        methods = [*(method for method in beside if method != "median"), found.reference]
        draw_relative(found, comparable, methods, path)
        document.add(Picture(path, f"Test MAE relative to {GOALS[0]}; left of the line is better", of_markdown=True))


def _leak_free(found: Findings, appendices: Mapping[str, Document], document: Document) -> None:
    known = standings(found)
    document.add((2, "Without what experts have seen"))
    if not known:
        document.add(not_audited(found))
        return
    document.add(
        f"`{found.reference}` on the test rows that are left when its experts' training crystals are taken away, "
        "against published numbers, which are on all rows. Leak-free: of no test crystal did an expert learn the "
        "label, or what it is computed from. New formulas: no expert was trained on a crystal of the same formula. "
        "The rows that are left may be easier or harder than all. "
        + _more(appendices, {"leak-free": "by task, and every method", "leakage": "who has seen what"})
    )
    rows = [["test rows left", *(f"{one.share:.0%}" for one in known.values())]]
    for published in GOALS:
        against = [one.against[published] for one in known.values()]
        cells = [f"{a.wins} of {len(a.changes)}, {a.mean:+.1%}" if a.changes else "" for a in against]
        if any(cells):
            rows.append([f"tasks below {published}, mean change", *cells])
    document.add(Table(["", *known], rows))


def _other_methods(found: Findings, appendices: Mapping[str, Document], document: Document) -> None:
    rows = []
    for other in found.methods:
        against = against_method(found.scores, found.reference, other)
        if other != found.reference and against.changes:
            n_tasks = len(against.changes)
            clear = len(clearly_lower(found, found.reference, other))
            won = f"{against.wins} of {n_tasks}", f"{clear} of {n_tasks}"
            rows.append([f"`{other}`", title_of(other), learned_from(other), *won, f"{against.mean:+.1%}"])
    if not rows:
        return
    document.add((2, "The other methods"))
    document.add(
        f"On how many of the tasks of which both have all splits `{found.reference}` is lower; on how many clearly, "
        "which means that the interval of the difference excludes zero; and mean relative change of the MAE from the "
        f"other method to `{found.reference}`. "
        + _more(appendices, {"paired": "split by split", "modules": "modules", "few-labels": "few labels"})
    )
    header = [
        "method",
        "what it is",
        "learned from",
        f"`{found.reference}` is lower on",
        "clearly on",
        f"MAE of `{found.reference}` against it",
    ]
    document.add(Table(header, rows, text=("what it is", "learned from")))


def _cost(found: Findings, document: Document) -> None:
    n_cells, median, longest, minutes, memory = cost_of(found, found.reference)
    document.add((2, "Cost"))
    document.add(
        f"`{found.reference}` fits and predicts a split in {median} s (median; the longest {longest} s) on one "
        f"thread, with embeddings from the cache: {minutes} min for {n_cells} cells"
        + (f", at most {memory} MiB of memory" if memory else "")
        + ". [All methods](page:cost)."
    )


def _cautions(found: Findings, document: Document) -> None:
    cards = [found.cards.of(task) for task in found.own_tasks]
    of_rows = {kind: [card.title for card in cards if card.rows == kind] for kind in ("rematched", "rebuilt")}
    lines = [
        "Intervals are of the crystals that were tested; how a method varies with other training rows, splits of one "
        "task share too many to tell. Nothing is corrected for the number of tasks. Of the published methods only "
        "means are known: their own intervals, about as wide as ours, are not counted. Some tasks [rest on a few "
        "crystals](page:errors), some of whose [labels are suspect](page:labels)."
    ]
    if of_rows["rematched"]:
        lines.append(f"Published rows with structures that were matched again: {', '.join(of_rows['rematched'])}.")
    if of_rows["rebuilt"]:
        lines.append(f"Other rows than the published ones, not to be compared: {', '.join(of_rows['rebuilt'])}.")
    if found.reference in CAUTIONS:
        lines.append(CAUTIONS[found.reference])
    document.add((2, "Cautions"), lines)


def _contents(appendices: Mapping[str, Document], document: Document) -> None:
    lines = []
    for appendix in APPENDICES:
        if appendix.name in appendices:
            page = appendices[appendix.name]
            sections = [f"[{text}](page:{appendix.name}#{anchor(text)})" for text in page.sections]
            more = f" Sections: {', '.join(sections)}." if sections else ""
            lines.append(f"[{page.title}](page:{appendix.name}): {appendix.what}.{more}")
    document.add((2, CONTENTS), lines)


def _more(appendices: Mapping[str, Document], names: Mapping[str, str]) -> str:
    """A sentence of links to those appendices that there are."""
    links = [f"[{text}](page:{name})" for name, text in names.items() if name in appendices]
    return f"More: {'; '.join(links)}." if links else ""
