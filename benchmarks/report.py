"""From results to tables and figures: ``python -m benchmarks.report --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import figures, scores, tasks
from benchmarks.cells import Result, is_finished, read_results
from benchmarks.document import Document, Picture, Table
from benchmarks.protocols import card_of, matbench_tasks, unit_of
from benchmarks.scores import PUBLISHED
from benchmarks.submissions import matbench_record, write_jarvis
from benchmarks.sweep import RESULTS
from benchmarks.tasks import N_SPLITS, list_tasks

ORDER = ("median", "rf-magpie", "stl", "tl", "concat", "ensemble", "moe-published", "moe")
SIGNIFICANCE = (
    "How much the differences mean: splits of one task share most of their rows, so that p values are too small. With five "
    "splits Wilcoxon's two-sided p cannot be below 0.0625, and a paired t-test rests on four degrees of freedom; "
    "neither is corrected for the number of tasks. Read a difference as real where all splits agree in sign and it is large "
    "beside the standard deviation of the differences. Of the published methods only means are known: nothing "
    "can be paired with them, and a gap smaller than our standard error over splits says little."
)


@dataclass(frozen=True, slots=True)
class Report:
    """What the sections of a report are made from.

    Attributes:
        results: finished and failed.
        problems: what is wrong with files that were not used.
        cells: of `benchmarks.scores.frame`, with one row for the best of several pairwise transfers.
        table: of `benchmarks.scores.by_task`.
        methods: in the order of the tables.
        reference: the method that the others are compared with.
        figures: folder of the figures.
    """

    results: list[Result]
    problems: list[str]
    cells: pd.DataFrame
    table: pd.DataFrame
    methods: list[str]
    reference: str
    figures: Path

    def means(self, names: Sequence[str]) -> pd.DataFrame:
        """The rows of some tasks with all labels."""
        return self.table[
            self.table.index.get_level_values("task").isin(names) & (self.table.index.get_level_values("n_labels") == 0)
        ]


def build(results: Sequence[Result], problems: Sequence[str], *, reference: str | None, folder: Path) -> Document:
    """The report of some results; its figures are written to a folder.

    Raises:
        ValueError: there is no finished result, or none of the reference method.
    """
    cells = scores.with_best_transfer(scores.frame(results))
    if not len(cells):
        raise ValueError("there is no finished result to report")
    table = scores.by_task(cells)
    methods = sorted(set(cells["method"]), key=_order)
    if reference is not None and reference not in methods:
        raise ValueError(f"there is no result of {reference}; there is {', '.join(methods)}")
    report = Report(
        list(results),
        list(problems),
        cells,
        table,
        methods,
        reference or ("moe" if "moe" in methods else methods[-1]),
        folder,
    )
    document = Document("Benchmark report")
    _summary(report, document)
    _main_table(report, document)
    _published(report, document)
    _paired(report, document)
    _matbench(report, document)
    _gates(report, document)
    _parity(report, document)
    _learning_curves(report, document)
    _cost(report, document)
    _fidelity(report, document)
    _gaps(report, document)
    return document


def _order(method: str) -> tuple[int, str]:
    stem = next((i for i, name in enumerate(ORDER) if method == name), None)
    if stem is None:  # a variant stands behind what it is a variant of; a stranger before ours
        stem = next((i for i, name in reversed(list(enumerate(ORDER))) if method.startswith(name)), len(ORDER) - 2)
    return stem, method


def _summary(report: Report, document: Document) -> None:
    finished = [result for result in report.results if is_finished(result)]
    commits = sorted({str(result["commit"]) for result in finished if result.get("commit")})
    lines = [
        f"{len(finished)} finished cells of {len(report.methods)} methods on {report.cells['task'].nunique()} tasks; "
        f"{len(report.results) - len(finished)} failed, {len(report.problems)} damaged files left out.",
        f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; results of commits {', '.join(commits) or 'not noted'}.",
        "Test MAE, mean over the five splits, ± standard deviation between splits (n - 1). All choices were made on "
        "training and validation rows.",
    ]
    for published in ("MoE-(18)", "MoMa (Full)"):
        against = scores.compare_with_published(report.table, report.reference, published)
        if against.n_tasks:
            lines.append(
                f"`{report.reference}` is below {published} on **{against.wins} of {against.n_tasks}** comparable tasks; "
                f"mean relative change **{against.relative:+.1%}**."
            )
    document.add(lines, *scores.mixed(report.results))


def _main_table(report: Report, document: Document) -> None:
    names = [name for name in list_tasks() if name in set(report.cells["task"])]
    if not names:
        return
    document.add((2, "Test MAE by task"))
    comparable = [name for name in names if card_of(name).comparable]
    if comparable:
        document.add(
            "Bold: the lowest of a row. Published columns are means over the same splits; their source is named below."
        )
        document.add(_table_of(report, comparable, PUBLISHED))
        if methods := [m for m in report.methods if m != "median"]:
            path = report.figures / "relative.png"
            figures.bars(report.means(comparable), methods, published="MoE-(18)", path=path)
            document.add(Picture(path, "Test MAE relative to MoE-(18); left of the line is better"))
    if others := [name for name in names if name not in comparable]:
        document.add((3, "Tasks without comparable published numbers"), _table_of(report, others, ()))


def _table_of(report: Report, names: Sequence[str], published: Sequence[str]) -> Table:
    rows = []
    for name in names:
        card = card_of(name)
        theirs = {method: card.published[method].mean for method in published if method in card.published}
        ours = {m: report.table.loc[(name, m, 0)] for m in report.methods if (name, m, 0) in report.table.index}
        best = min([*theirs.values(), *(row["mean"] for row in ours.values())], default=float("nan"))
        cells = [f"{card.title} ({unit_of(name)})" if unit_of(name) != "1" else card.title]
        cells += [_bold(f"{theirs[m]:.4g}", theirs[m] == best) if m in theirs else "" for m in published]
        for method in report.methods:
            row = ours.get(method)
            cells.append("" if row is None else _bold(_with_sd(row), row["mean"] == best))
        rows.append(cells)
    return Table(["task", *published, *report.methods], rows)


def _with_sd(row: pd.Series) -> str:
    """Mean and deviation with as many digits as the deviation is worth, and how many splits where some are missing."""
    if not np.isfinite(row["sd"]) or row["sd"] == 0:
        text = f"{row['mean']:.4g}"
    else:
        digits = max(0, 1 - int(np.floor(np.log10(row["sd"]))))
        text = f"{row['mean']:.{digits}f} ± {row['sd']:.{digits}f}"
    return text if row["splits"] == N_SPLITS else f"{text} ({int(row['splits'])}/{N_SPLITS})"


def _bold(text: str, yes: bool) -> str:
    return f"**{text}**" if yes else text


def _published(report: Report, document: Document) -> None:
    rows, losses = [], []
    for method in report.methods:
        cells = [method]
        for published in PUBLISHED:
            against = scores.compare_with_published(report.table, method, published)
            cells.append(f"{against.wins}/{against.n_tasks}, {against.relative:+.1%}" if against.n_tasks else "")
            if method == report.reference and against.losses and published in ("MoE-(18)", "MoMa (Full)"):
                named = ", ".join(f"{card_of(t).title} {c:+.1%}" for t, c in against.losses.items())
                losses.append(f"`{method}` is not below {published} on {named}.")
        if any(cells[1:]):
            rows.append(cells)
    if not rows:
        return
    document.add((2, "Against the published methods"))
    document.add(
        "Wins out of the comparable tasks of which all five splits are there, and mean relative change (negative is better)."
    )
    document.add(Table(["method", *PUBLISHED], rows))
    if losses:
        document.add(losses)
    sources = sorted({card.source for card in map(card_of, list_tasks()) if card.source})
    document.add(f"Source: {'; '.join(sources)}.")


def _paired(report: Report, document: Document) -> None:
    others = [method for method in report.methods if method != report.reference]
    rows, overall = [], []
    for other in others:
        for task in sorted(set(report.cells["task"])):
            found = scores.paired(report.cells, task, report.reference, other)
            if found is None:
                continue
            values = list(found.differences.values())
            signs = f"{sum(value < 0 for value in values)}/{len(values)}"
            spread = f"{np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
            by_number = " ".join(f"{value:+.3g}" for value in values)
            p_values = [f"{p:.3f}" if p is not None else "" for p in (found.t_test, found.wilcoxon)]
            rows.append([other, task, f"{found.mean:+.3g}", spread, signs, *p_values, by_number])
        n_tasks, wins, relative, p = scores.over_tasks(report.table, report.reference, other)
        if n_tasks:
            overall.append([other, f"{wins}/{n_tasks}", f"{relative:+.1%}", f"{p:.2g}" if p is not None else ""])
    if not rows:
        return
    document.add((2, f"`{report.reference}` against the other methods, paired"))
    document.add(Table(["other method", "tasks won", "mean relative change", "Wilcoxon p over tasks"], overall))
    document.add(
        (3, "Split by split"), f"Test MAE of `{report.reference}` minus that of the other method on the same split."
    )
    header = ["other method", "task", "mean", "sd", "splits won", "t-test p", "Wilcoxon p", "differences by split"]
    document.add(Table(header, rows, text=("task",)), SIGNIFICANCE)


def _matbench(report: Report, document: Document) -> None:
    names = [name for name in matbench_tasks() if name in set(report.cells["task"])]
    if not names:
        return
    document.add((2, "Matbench"), "Matbench v0.1: its five folds, raw units, mean over folds of the test MAE.")
    for name in names:
        card = card_of(name)
        assert card.matbench is not None
        lines = [
            (f"**{m}** ({int(r['splits'])}/{N_SPLITS} folds)", r["mean"], _with_sd(r))
            for (_, m, _), r in report.means([name]).iterrows()
        ]
        lines += [(method, mae, f"{mae:.4g}") for method, mae in card.matbench.mae.items()]
        rows = [[method, text] for method, _, text in sorted(lines, key=lambda line: line[1])]
        document.add(
            (3, f"{name} ({card.matbench.unit})"), Table(["method", "MAE"], rows), f"Rows: {card.matbench.rows}."
        )


def _gates(report: Report, document: Document) -> None:
    for method in report.methods:
        weights = scores.gate_weights(report.results, method)
        for protocol, names in (("", list_tasks()), (", Matbench", list(matbench_tasks()))):
            rows = [name for name in names if name in weights.index]
            if rows:
                path = report.figures / f"gates_{_file_name(method + protocol)}.png"
                figures.heat_map(weights.loc[rows], title=f"{method}{protocol}: gate weights", path=path)
                if path.stem == f"gates_{_file_name(report.methods[0])}" or not _has_heading(document, "Gate weights"):
                    document.add((2, "Gate weights"))
                document.add(Picture(path, f"Gate weights of {method}{protocol}, mean over splits; each row sums to 1"))


def _has_heading(document: Document, text: str) -> bool:
    return any(block == (2, text) for block in document.blocks)


def _parity(report: Report, document: Document) -> None:
    found: dict[str, list[Result]] = {}
    for result in report.results:
        whole = is_finished(result) and not result.get("n_labels") and "predictions" in result
        if whole and result["method"] == report.reference:
            found.setdefault(result["task"], []).append(result)
    if found:
        path = report.figures / f"parity_{_file_name(report.reference)}.png"
        figures.parity(dict(sorted(found.items())), path=path)
        document.add((2, "Parity"), Picture(path, f"Predictions of {report.reference} for the test rows of all splits"))


def _learning_curves(report: Report, document: Document) -> None:
    few = report.table[report.table.index.get_level_values("n_labels") > 0]
    if not len(few):
        return
    pairs = set(few.index.droplevel("n_labels"))
    table = report.table[[index[:2] in pairs for index in report.table.index]]
    counts = {
        r["task"]: r["rows"]["train"] + r["rows"]["val"]
        for r in report.results
        if "rows" in r and not r.get("n_labels")
    }
    for task in set(table.index.get_level_values("task")) - set(counts):
        counts[task] = round(0.85 * card_of(task).evidence.n_rows)
    path = report.figures / "learning_curves.png"
    figures.learning_curves(table, all_labels=counts, path=path)
    labels = sorted(set(few.index.get_level_values("n_labels")))
    rows = []
    for task, method in sorted(pairs, key=lambda pair: (pair[0], _order(pair[1]))):
        cells = [
            _with_sd(table.loc[(task, method, n)]) if (task, method, n) in table.index else "" for n in [*labels, 0]
        ]
        rows.append([card_of(task).title, method, *cells])
    document.add((2, "Learning curves"))
    document.add(
        "Labels count training and validation together; fewer labels are part of more. Test rows are always the same."
    )
    document.add(Picture(path, "Test MAE against the number of labels, mean and standard deviation over splits"))
    document.add(Table(["task", "method", *map(str, labels), "all"], rows, text=("method",)))


def _cost(report: Report, document: Document) -> None:
    rows = []
    for method in report.methods:
        of_method = report.cells[report.cells["method"] == method]
        memory = [r["peak_memory_mib"] for r in report.results if r["method"] == method and r.get("peak_memory_mib")]
        seconds = of_method["seconds"]
        peak = f"{max(memory)} MiB" if memory else ""
        rows.append(
            [
                method,
                str(len(seconds)),
                f"{seconds.median():.3g}",
                f"{seconds.max():.3g}",
                f"{seconds.sum() / 60:.3g}",
                peak,
            ]
        )
    document.add((2, "Cost"), "Fit and prediction on one thread, embeddings from the cache.")
    document.add(Table(["method", "cells", "median s", "largest s", "sum, min", "peak memory"], rows))


def _fidelity(report: Report, document: Document) -> None:
    noted: dict[str, set[str]] = {}
    for result in report.results:
        if result.get("fidelity"):
            noted.setdefault(result["task"], set()).add(result["fidelity"])
    rows = []
    for task in sorted(set(report.cells["task"])):
        card = card_of(task)
        evidence = f"{card.evidence.n_rows} rows, mean {card.evidence.mean:.6g}, sd {card.evidence.std:.6g}"
        words = " / ".join(sorted(noted.get(task, {card.fidelity})))
        rows.append([task, "yes" if card.comparable and card.rows == "published" else card.rows, words, evidence])
    document.add((2, "Where rows and splits come from"))
    header = ["task", "exactly comparable", "rows and splits", "target, as on the card"]
    document.add(Table(header, rows, text=header))


def _gaps(report: Report, document: Document) -> None:
    own, matbench = list_tasks(), list(matbench_tasks())
    lines = []
    for method in sorted({result["method"] for result in report.results}, key=_order):
        used = {
            result["task"] for result in report.results if result["method"] == method and not result.get("n_labels")
        }
        for names in (own, matbench):
            expected = names if used & set(names) else []
            gaps = scores.missing_cells(report.results, expected, [method]).get(method, {})
            lines += [f"`{method}` {task}: splits {splits}" for task, splits in gaps.items()]
    document.add((2, "Missing cells"), lines or "None.")
    if report.problems:
        document.add((2, "Damaged files, not used"), report.problems)


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text.replace(", ", "-")).lower()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report; returns 1 when there is nothing to report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results")
    parser.add_argument("--output", type=Path, help="report.md or report.html; by default both, beside the results")
    parser.add_argument("--reference", help="method that the others are compared with; by default moe")
    parser.add_argument("--submissions", type=Path, help="folder for Matbench records and jarvis_leaderboard files")
    parser.add_argument("--cards", type=Path, default=tasks.CARDS, help="folder of other task cards")
    options = parser.parse_args(arguments)
    tasks.CARDS = options.cards.resolve()
    tasks.load_task.cache_clear()
    outputs = [options.output] if options.output else [options.results / f"report.{kind}" for kind in ("md", "html")]
    results, problems = read_results(options.results)
    known = {*list_tasks(), *matbench_tasks()}
    strangers = [str(r["task"]) for r in results if r["task"] not in known]
    problems_said = [str(problem) for problem in problems]
    problems_said += [f"{name}: results of a task that has no card" for name in sorted(set(strangers))]
    results = [result for result in results if result["task"] in known]
    try:
        if unknown := [path for path in outputs if path.suffix not in (".md", ".html")]:
            raise ValueError(f"{unknown[0]}: a report is .md or .html")
        folder = outputs[0].parent / f"{outputs[0].stem}_figures"
        document = build(results, problems_said, reference=options.reference, folder=folder)
    except ValueError as error:
        sys.stderr.write("\n".join([f"{options.results}: {error}", *problems_said]) + "\n")
        return 1
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = document.html() if path.suffix == ".html" else document.markdown(path.parent)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")
    if options.submissions is not None:
        _write_submissions(results, options.submissions)
    for problem in problems_said:
        sys.stderr.write(f"not used: {problem}\n")
    return 0


def _write_submissions(results: Sequence[Result], folder: Path) -> None:
    for method in sorted({result["method"] for result in results}):
        own = folder / _file_name(method)
        if record := matbench_record(results, method):
            own.mkdir(parents=True, exist_ok=True)
            (own / "matbench_results.json").write_text(json.dumps(record), encoding="utf-8")
        files = write_jarvis(results, method, own / "jarvis_leaderboard")
        sys.stdout.write(f"{own}: {'a Matbench record, ' if record else ''}{len(files)} files for jarvis_leaderboard\n")


if __name__ == "__main__":
    sys.exit(main())
