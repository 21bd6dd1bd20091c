"""Complete or absent: a mean over fewer splits than there are is not shown, nor counted."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cells.results import Result, is_finished
from moe_mat.tasks import N_SPLITS


def complete_results(results: Sequence[Result]) -> list[Result]:
    """The finished results of those seeds of a method and task that have all splits.

    Results with few labels stay as they are: their tables compare draws of the labels, on splits that they name.
    """
    splits: dict[tuple[str, str, int], set[int]] = {}
    for result in filter(is_finished, results):
        if not result.get("n_labels"):
            splits.setdefault(_run(result), set()).add(result["split"])
    whole = {run for run, found in splits.items() if len(found) == N_SPLITS}
    return [r for r in results if is_finished(r) and (r.get("n_labels") or _run(r) in whole)]


def _run(result: Result) -> tuple[str, str, int]:
    return result["task"], result["method"], result["seed"]
