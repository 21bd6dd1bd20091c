"""The table of what formulas alone give, and its methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from test_families import result

from benchmarks import compositions
from benchmarks.cells.results import write_result
from benchmarks.methods.cards import CARDS, load_method
from benchmarks.methods.problem import Problem
from benchmarks.reports.compositions import OURS


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


def test_methods_on_formulas_see_no_structure() -> None:
    for path in sorted((CARDS / "compositions").glob("*.yaml")):
        assert load_method(str(path)).kind == "formulas"
    crystals = [Structure(Lattice.cubic(4 + 0.1 * n), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]) for n in range(30)]
    problem = Problem((crystals[:20], np.arange(20.0)), (crystals[20:25], np.arange(5.0)), crystals[25:], 0)
    run = load_method(str(CARDS / "compositions" / "formula-magpie.yaml")).load()
    predictions = run(problem).predictions
    assert len(predictions) == 5
    np.testing.assert_allclose(predictions, predictions[0], rtol=1e-5)
