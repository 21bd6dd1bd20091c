"""The sections of a report on leakage: what experts have seen of the tasks, and the numbers without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from benchmarks.cells.results import is_finished
from benchmarks.reports import figures
from benchmarks.reports.document import Document, Picture, Table
from benchmarks.reports.findings import GOALS, Findings, bold
from benchmarks.reports.leak_free import Group, Kept, groups, mae, without_seen
from benchmarks.reports.scores import Against, Key, Scores, against_published, score
from moe_mat.audit import FLAGS, LEFT

# Methods that have learned from nothing but the task, the best first: what they lose on the same rows is no leakage.
CONTROLS = ("rf-magpie", "lightgbm", "stl", "median")
# Methods that are compared on the rows that their own experts have not seen, beside the reference.
BESIDE = ("moe-strict",)
MEANINGS = [
    "Two rules. Same crystal: by reduced formula and pymatgen's StructureMatcher (default tolerances, primitive cells, "
    "volumes scaled) a test crystal is one of the crystals that an expert, or a network below it, was trained on. Same "
    "formula: the reduced formula is that of such a crystal, as a monolayer's is that of its bulk parent, which no "
    "comparison of structures finds.",
    "Label: the quantity of the task, or one that it follows from, at any level of theory, was learned from it.",
    "**Leak-free** rows: of no test crystal did an expert of the method learn the label from the same crystal. "
    "**Leak-free by formula**: nor from any crystal of the same formula. **New formulas**, the strictest: no expert of "
    "the method learned anything from a crystal of the same formula.",
    "≤: at most so many, because potentials, of whose crystals no list is here, learned the label or what it follows "
    "from. New formulas count listed crystals alone.",
]
PANELS = ("same crystal", "same crystal, with label", "same formula", "same formula, with label")
HOW = (
    "Run the sweep again with the same tasks, methods and experts, and with MOE_MAT_DATA set: finished cells are kept, "
    "and what has not been audited is."
)


def leak_free(found: Findings, document: Document) -> None:
    """The main table again without the test rows that experts have seen: the reference's, then those of others."""
    methods = [found.reference, *(name for name in BESIDE if name in found.methods and name != found.reference)]
    kept = {method: _kept(found, method) for method in methods}
    audited = [method for method in methods if _audited(found, kept[method], method)]
    if found.reference not in audited:
        document.add(not_audited(found))
        return
    control = next((name for name in CONTROLS if name in found.methods and name not in methods), None)
    named = " and ".join(f"`{method}`" for method in audited)
    document.add(
        f"Test MAE of {named} on all test rows, and on those that its experts have not seen. Published "
        "numbers are on all rows; what their encoders have seen was never said. Bold: below both published numbers. "
        + (
            f"The rows that are left may be easier or harder, so `{control}`, which has learned from nothing but the "
            "task, stands beside it on the same rows."
            if control
            else ""
        ),
        MEANINGS,
    )
    for method in audited:
        document.add((2, f"`{method}` without what its experts have seen"))
        document.add(_headline(found, kept[method], method, control), _verdicts(found, method))
    if unlisted := _unlisted(found):
        document.add((2, "Not known row by row"))
        document.add(
            "Learned from crystals of which no list is here, and not counted above; a network has seen what its trunk "
            "has:",
            unlisted,
        )
    _all_methods(found, document)


def _kept(found: Findings, method: str) -> dict[str, Kept]:
    return {kind: without_seen(found.cards, found.results, found.audits, kind, experts_of=method) for kind in LEFT}


def _audited(found: Findings, kept: Mapping[str, Kept], method: str) -> list[str]:
    """The tasks of which it is known what the experts of a method have seen."""
    return [task for task in found.tasks if found.audits and (task, method) in kept["leak-free"].rows]


def _headline(found: Findings, kept: Mapping[str, Kept], method: str, control: str | None) -> Table:
    shown = [method, *([control] if control else [])]
    header = ["task", *GOALS, *shown]
    for kind in kept:
        header += [f"{kind}, rows", *(f"{name}, {kind}" for name in shown)]
    scores = {"": found.scores, **{kind: score(one.results) for kind, one in kept.items()}}
    rows = []
    for task in _audited(found, kept, method):
        card = found.cards.of(task)
        published = card.published if task == card.name and card.comparable else {}
        theirs = [published[name].mean if name in published else None for name in GOALS]
        goal = min((value for value in theirs if value is not None), default=0.0)
        cells = [card.title if task == card.name else task, *("" if v is None else f"{v:.4g}" for v in theirs)]
        for kind, of_kind in scores.items():
            if kind:
                left, total = kept[kind].rows[task, method]
                at_most = kind.startswith("leak-free") and (task, method) in kept[kind].at_most
                cells.append(f"{'≤ ' if at_most else ''}{left} of {total}")
            for name in shown:
                one = of_kind.get(Key(task, name))
                cells.append("" if one is None else bold(f"{one.mean:.4g}", name == shown[0] and one.mean < goal))
        rows.append(cells)
    return Table(header, rows)


@dataclass(frozen=True, slots=True)
class Standing:
    """The reference method on some of the test rows.

    Attributes:
        share: of the test rows that these are, all tasks together.
        against: published method -> comparison.
    """

    share: float
    against: Mapping[str, Against]


def standings(found: Findings, method: str | None = None) -> dict[str, Standing]:
    """All rows, and those that the experts of a method have not seen; empty where there is no audit.

    Args:
        found: what the report is made from.
        method: by default the reference.
    """
    method = method or found.reference
    of_rows: dict[str, Scores] = {"all rows": found.scores}
    shares = {"all rows": 1.0}
    for kind, kept in _kept(found, method).items():
        where = "leak-free rows" if kind == "leak-free" else kind
        left, total = (sum(n[i] for (_, name), n in kept.rows.items() if name == method) for i in (0, 1))
        if not found.audits or not total:
            return {}
        of_rows[where], shares[where] = score(kept.results), left / total

    def against(scores: Scores) -> dict[str, Against]:
        return {name: against_published(found.cards, scores, method, name) for name in GOALS}

    return {where: Standing(shares[where], against(scores)) for where, scores in of_rows.items()}


def not_audited(found: Findings) -> str:
    """What to do where nothing is known of the reference method's experts."""
    return f"What the experts of `{found.reference}` have seen of these rows was not audited. {HOW}"


def _verdicts(found: Findings, method: str) -> list[str]:
    lines = []
    known = standings(found, method)
    for published in GOALS:
        against = {where: one.against[published] for where, one in known.items()}
        numbers = [
            f"{a.wins} of {len(a.changes)} tasks on {where} ({a.mean:+.1%})"
            for where, a in against.items()
            if a.changes
        ]
        if numbers:
            lines.append(f"`{method}` is below {published} on {', '.join(numbers)}.")
    return lines


def _unlisted(found: Findings) -> list[str]:
    by_source: dict[str, list[str]] = {}
    for group in _groups(found):
        for name in group.unlisted:
            by_source.setdefault(name, []).append(group.label)
    return [f"{name} ({', '.join(labels)})" for name, labels in by_source.items()]


def _all_methods(found: Findings, document: Document) -> None:
    """What each method loses without the rows that its own experts have seen."""
    rows, gaps = [], {}
    kept = {kind: without_seen(found.cards, found.results, found.audits, kind) for kind in LEFT}
    for method in found.methods:
        cells = [method]
        for kind, one in kept.items():
            scores = score(one.results)
            changes = [
                scores[Key(task, method)].mean / found.scores[Key(task, method)].mean - 1
                for task in found.tasks
                if Key(task, method) in scores
            ]
            left, total = (sum(n[i] for (_, name), n in one.rows.items() if name == method) for i in (0, 1))
            at_most = kind.startswith("leak-free") and any(name == method for _, name in one.at_most)
            share = f"{'≤ ' if at_most else ''}{left / total:.0%}" if total else ""
            cells += [share, f"{round(fmean(changes), 3) + 0.0:+.1%}"] if changes else ["", ""]
            if tasks := one.not_audited.get(method):
                gaps[method] = f"`{method}`: {', '.join(tasks)}"
        if any(cells[1:]):
            rows.append(cells)
    header = ["method", *(text for kind in kept for text in (f"{kind}, rows", f"{kind}, change of MAE"))]
    document.add((2, "All methods, each without what its own experts have seen"))
    document.add("Share of the test rows that are left, and mean relative change of the test MAE against all rows.")
    document.add(Table(header, rows))
    if gaps:
        document.add(f"Not audited, and not in these numbers. {HOW}", list(gaps.values()))


def leakage(found: Findings, document: Document) -> None:
    """What experts have seen: a heat map, and the counts and the reference's MAE without it."""
    known = _groups(found)
    tasks = [task for task in found.tasks if task in found.audits and task not in found.cards.matbench]
    if not tasks or not known:
        return
    shown = sorted((g for g in known if g.datasets or g.unlisted), key=lambda g: not g.datasets)
    document.add(
        "What experts learned from. Experts of one row have seen the same, as far as these tasks can tell; a network "
        "has seen what the experts have that it stands on. Descriptors, which have learned from no value of a "
        "property, are left out."
    )
    header = ["experts", "all of them", "trained on", "learned", "not known row by row"]
    lines = [
        (group.label, *map(", ".join, (group.experts, group.datasets, group.quantities)), "; ".join(group.unlisted))
        for group in shown
    ]
    document.add(Table(header, lines, text=header))
    if drawn := [group for group in shown if group.datasets]:
        path = found.figures / "leakage.png"
        shares = {
            title: np.array([[_share(found, task, group, flag) for group in drawn] for task in tasks])
            for title, flag in zip(PANELS, FLAGS, strict=True)
        }
        names = [f"~{group.label}" if group.estimated else group.label for group in drawn]
        figures.overlap_map(shares, tasks=tasks, names=names, cards=found.cards, path=path)
        caption = "Share of a task's test crystals that experts were trained on; ? where nobody knows"
        left_out = " (left out: experts of which no crystal is known row by row)" if len(drawn) < len(shown) else ""
        document.add(Picture(path, caption + left_out))
    rows = [cells for task in tasks for group in shown if (cells := _counts(found, task, group))]
    header = ["task", "experts", "test crystals", "same crystal", "with label", "same formula", "with label"]
    header += [f"{found.reference}, all rows", f"{found.reference}, without same crystals"]
    if rows:
        document.add("Test crystals of all splits, where experts have seen some of them.")
        document.add(Table(header, rows, text=("experts",)))
    if any(group.estimated for group in shown):
        document.add("~: sources were not at hand, so that crystals were matched by formula, size of cell and volume.")


def _groups(found: Findings) -> list[Group]:
    used = [tag for result in found.results if is_finished(result) for tag in result.get("experts", [])]
    return groups(found.audits, list(dict.fromkeys(used)))


def _test_ids(found: Findings, task: str) -> list[str]:
    """The crystals that some split of a task tests on."""
    audit = found.audits[task]
    ids = {name for result in found.results if result["task"] == task for name in result.get("ids", [])}
    return sorted(ids) if audit.knows([], ids) else []


def _share(found: Findings, task: str, group: Group, flag: str) -> float:
    """Of the test crystals; NaN where it is not known."""
    ids, audit = _test_ids(found, task), found.audits[task]
    tags = [tag for tag in group.experts if tag in audit.experts]
    if not group.datasets or not ids or not tags:
        return float("nan")
    return float(audit.flags(tags, ids, flag).mean())


def _counts(found: Findings, task: str, group: Group) -> list[str]:
    """A row of the table; empty where there is nothing to tell."""
    ids, audit = _test_ids(found, task), found.audits[task]
    tags = [tag for tag in group.experts if tag in audit.experts]
    if not ids or not tags or not group.datasets or not audit.flags(tags, ids, "formula").any():
        return []
    counts = [int(audit.flags(tags, ids, flag).sum()) for flag in FLAGS]
    cells = [found.cards.of(task).title, group.label, str(len(ids)), *(_count(count, len(ids)) for count in counts)]
    mine = [
        result
        for result in found.results
        if (result["task"], result["method"]) == (task, found.reference) and result.get("predictions")
    ]
    without = [(one, ~audit.flags(tags, one["ids"], "crystal")) for one in mine if not one.get("n_labels")]
    left = [mae(one, rows) for one, rows in without if rows.any()]
    every = [one["test_mae"] for one, _ in without]
    return [*cells, *(f"{fmean(values):.4g}" if values else "" for values in (every, left))]


def _count(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})" if count >= 0.005 * total else f"{count} (<1%)" if count else "0"
