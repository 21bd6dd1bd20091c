"""Calculations on many crystals side by side: each round, the cells that all of them ask for are evaluated together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from moe_mat.encoders.physics.potentials import Cell, Evaluation, Potential

Result = TypeVar("Result")
Calculation = Generator[list[Cell], list[Evaluation], Result]
"""Yields cells, is sent their energies, forces and stresses, and returns its result."""


def run_together(potential: Potential[Any], calculations: Sequence[Calculation[Result]]) -> list[Result]:
    """The results of all calculations, in their order."""
    results: dict[int, Result] = {}
    sent: dict[int, list[Evaluation] | None] = dict.fromkeys(range(len(calculations)))
    while sent:
        asked: dict[int, list[Cell]] = {}
        for number, evaluations in sent.items():
            calculation = calculations[number]
            try:
                asked[number] = next(calculation) if evaluations is None else calculation.send(evaluations)
            except StopIteration as end:
                results[number] = end.value
        cells = [cell for some in asked.values() for cell in some]
        evaluated = iter(potential.evaluate(cells, forces=True, stress=True))
        sent = {number: [next(evaluated) for _ in some] for number, some in asked.items()}
    return [results[number] for number in range(len(calculations))]
