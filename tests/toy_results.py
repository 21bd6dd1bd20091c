"""Results of made-up cells, and how a table of a report is read."""

from __future__ import annotations

from typing import Any

# Test MAE by split. Published on mp_phonons: MoE-(18) 0.0996, MoMa (Full) 0.0484; on mp_poisson_ratio: 0.0292, 0.0204.
PHONONS = {
    "moe": [0.05, 0.06, 0.07, 0.08, 0.09],
    "rf-magpie": [0.10, 0.10, 0.12, 0.12, 0.13],
}
POISSON = {"moe": [0.03] * 5, "rf-magpie": [0.04, 0.02, 0.03, 0.03, 0.05]}


def result(
    task: str, method: str, split: int, mae: float, *, seed: int = 0, val: float | None = None, **more: Any
) -> dict[str, Any]:
    """A result with the promised keys."""
    numbers = {"val_mae": mae if val is None else val, "test_mae": mae, "seconds": 2.0}
    return {"task": task, "split": split, "method": method, "seed": seed, **numbers, **more}


def some_results() -> list[dict[str, Any]]:
    """Of two methods on all splits of two tasks."""
    return [
        result(task, method, split, mae)
        for task, methods in (("mp_phonons", PHONONS), ("mp_poisson_ratio", POISSON))
        for method, maes in methods.items()
        for split, mae in enumerate(maes)
    ]


def table_row(text: str, heading: str, first: str) -> list[str]:
    """The cells of a row of the first table after a heading."""
    lines = text[text.index(heading) :].splitlines()
    row = next(line for line in lines if line.startswith(f"| {first}"))
    return [cell.strip() for cell in row.strip("|").split("|")]
