"""The sections of a report on few labels: learning curves, and the mean over tasks as MoMa reports it."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev

from benchmarks.cells.results import is_finished
from benchmarks.reports import figures
from benchmarks.reports.document import Document, Picture, Table
from benchmarks.reports.findings import Findings, in_order, with_sd
from benchmarks.reports.scores import Key, Score

# Normalised MAE (10, 100 and all labels) as published; source: Wang et al., MoMa, ICLR 2026, arXiv 2502.15483v3.
PUBLISHED = {
    "MoMa (Full), published": {10: 0.5503, 100: 0.2990, 0: 0.1871},
    "JMP-FT, published": {10: 0.7003, 100: 0.4076, 0: 0.2217},
}


def learning_curves(found: Findings, document: Document) -> None:
    """Test MAE against the number of labels."""
    few = sorted({(key.task, key.method) for key in found.scores if key.n_labels}, key=lambda p: (p[0], in_order(p[1])))
    if not few:
        return
    labels = sorted({key.n_labels for key in found.scores if key.n_labels})
    curves: dict[str, dict[str, dict[int, tuple[float, float]]]] = {}
    rows = []
    for task, method in few:
        points = {n: found.scores[Key(task, method, n)] for n in labels if Key(task, method, n) in found.scores}
        if whole := found.scores.get(Key(task, method)):
            points[0] = _on_splits(whole, {split for one in points.values() for split in one.by_split})
        counts = {n: (n or _all_labels(found, task)) for n in points}
        curves.setdefault(task, {})[method] = {counts[n]: (one.mean, one.sd) for n, one in points.items()}
        cells = (with_sd(points[n]) if n in points else "" for n in [*labels, 0])
        rows.append([found.cards.of(task).title, method, *cells])
    path = found.figures / "learning_curves.png"
    figures.learning_curves(curves, cards=found.cards, path=path)
    document.add((2, "Learning curves"))
    document.add(
        "Labels count training and validation together; fewer are part of more; the test rows stay the same. All of "
        "this page is on the splits that have few labels, where other pages have all splits."
    )
    document.add(Picture(path, "Test MAE against the number of labels, mean and standard deviation over splits"))
    document.add(Table(["task", "method", *map(str, labels), "all"], rows, text=("method",)))


def few_shot(found: Findings, document: Document) -> None:
    """Mean over tasks of the MAE in units of the target's standard deviation, for each number of labels."""
    errors = _normalised(found)
    labels = sorted({n for _, n in errors if n})
    methods = sorted({method for method, n in errors if n}, key=in_order)
    if not labels:
        return
    # A mean over tasks is comparable where it is over the same ones.
    common = {n: set.intersection(*(set(errors[m, n]) for m in methods if (m, n) in errors)) for n in labels}
    common[0] = set.intersection(*common.values())
    rows = []
    for method in methods:
        cells = [f"`{method}`"]
        for n in (*labels, 0):
            of_tasks = errors.get((method, n), {})
            cells.append(_mean_and_draws(of_tasks, common[n]) if common[n] and common[n] <= set(of_tasks) else "")
        rows.append(cells)
    rows += [[name, *(f"{maes[n]:.4f}" if n in maes else "" for n in (*labels, 0))] for name, maes in PUBLISHED.items()]
    counted = ", ".join(f"{len(common[n])} with {n or 'all'} labels" for n in (*labels, 0))
    document.add((2, "Mean over tasks"))
    document.add(
        "Test MAE in units of the target's standard deviation, mean over tasks, ± standard deviation over draws of the "
        f"labels, which are the same for every method; on the same splits with all labels. Tasks: {counted}."
    )
    document.add(Table(["method", *map(str, labels), "all"], rows))
    maes = [
        card.published["MoMa (Full)"].mean / card.evidence.std
        for card in found.cards.find()
        if "MoMa (Full)" in card.published
    ]
    document.add(
        "How the published means are normalised is not known; the published MAEs over these standard deviations would "
        f"give {fmean(maes):.3f} for MoMa (Full) with all labels, over {len(maes)} tasks. Compare ratios, not values."
    )


def _normalised(found: Findings) -> dict[tuple[str, int], dict[str, dict[tuple[int, int], float]]]:
    """(method, labels) -> task -> (split, seed) -> normalised MAE, of our own tasks."""
    errors: dict[tuple[str, int], dict[str, dict[tuple[int, int], float]]] = {}
    ours = set(found.cards.names())
    for result in filter(is_finished, found.results):
        if result["task"] in ours:
            of_task = errors.setdefault((result["method"], result.get("n_labels") or 0), {})
            draw = (result["split"], result["seed"])
            normalised = result["test_mae"] / found.cards.of(result["task"]).evidence.std
            of_task.setdefault(result["task"], {})[draw] = normalised
    splits = {split for (_, n), of_task in errors.items() if n for draws in of_task.values() for split, _ in draws}
    return {
        key: {
            task: kept
            for task, draws in of_task.items()
            if (kept := {draw: error for draw, error in draws.items() if draw[0] in splits})
        }
        for key, of_task in errors.items()
    }


def _mean_and_draws(of_tasks: dict[str, dict[tuple[int, int], float]], tasks: set[str]) -> str:
    mean = fmean(fmean(of_tasks[task].values()) for task in tasks)
    draws = sorted(set.intersection(*(set(of_tasks[task]) for task in tasks)))
    if len(draws) < 2:
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {stdev(fmean(of_tasks[task][draw] for task in tasks) for draw in draws):.4f}"


def _on_splits(one: Score, splits: set[int]) -> Score:
    """A score of those splits alone that are wanted, or the same one where it has none of them."""
    kept = {split: mae for split, mae in one.by_split.items() if split in splits}
    return replace(one, by_split=kept) if kept else one


def _all_labels(found: Findings, task: str) -> int:
    counted = [r["rows"] for r in found.results if r["task"] == task and "rows" in r and not r.get("n_labels")]
    return counted[0]["train"] + counted[0]["val"] if counted else round(0.85 * found.cards.of(task).evidence.n_rows)
