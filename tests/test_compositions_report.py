"""The table of what formulas alone give, and its methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from test_families import result

from benchmarks import compositions
from benchmarks.cells.results import write_result
from benchmarks.methods import mixtures
from benchmarks.methods.cards import CARDS, load_method
from benchmarks.methods.problem import Problem
from benchmarks.reports.compositions import OURS
from moe_mat.crystals import as_formula


def test_errors_stand_beside_the_forest_and_structures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = tmp_path / "compositions", tmp_path / "results"
    arguments = ["--results", str(folders[0]), "--reference", str(folders[1])]
    assert compositions.main(arguments) == 1
    assert "there is no result of moe-composition" in capsys.readouterr().err
    errors = {"rf-magpie": 0.4, OURS: 0.3, "formula-magpie": 0.36, "moe": 0.2}
    for method, error in errors.items():
        for split in range(3):
            numbers = (error + 0.01 * split, error + 0.01 * split)
            write_result(result(method, "expt_bandgap", split, *numbers, unit="eV"), folders[method == "moe"])
    assert compositions.main(arguments) == 0
    text = (folders[0] / "compositions.md").read_text()
    ours = next(line for line in text.splitlines() if line.startswith(f"| `{OURS}`"))
    assert ours.endswith("| formulas | 0.31 ± 0.01 (-24.4%) |")
    assert "| structures | 0.21 ± 0.01 (-48.8%) |" in text
    assert "| `formula-magpie` | The same with Magpie statistics alone | +19.7% | +19.7% |" in text


def test_methods_on_formulas_see_no_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sorted((CARDS / "compositions").glob("*.yaml")):
        assert load_method(str(path)).kind == "formulas"
    salt, value, seen = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]), np.ones(1), list[Problem]()
    monkeypatch.setattr(mixtures, "mixture", lambda problem, *_: seen.append(problem))
    mixtures.formulas(Problem(([salt], value), ([salt], value), [salt], 7), ["magpie"], {})
    (problem,) = seen
    assert [*problem.train[0], *problem.val[0], *problem.test] == [as_formula("CsCl")] * 3
    assert (problem.train[1], problem.val[1], problem.seed) == (value, value, 7)
