"""The table of what formulas alone give, and its methods."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from test_families import result

from benchmarks import compositions
from benchmarks.cells.results import RESULTS, read_result, read_results, write_result
from benchmarks.methods import mixtures
from benchmarks.methods.cards import CARDS, load_method
from benchmarks.methods.problem import Problem
from benchmarks.reports.compositions import OURS, WITH_STRUCTURES, build
from moe_mat.crystals import as_formula
from moe_mat.zoo import find_cards


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


def test_the_tables_of_the_docs_are_those_of_the_cells() -> None:
    results, errors = read_results(compositions.COMPOSITIONS)
    assert not errors
    paths = [path for method in WITH_STRUCTURES for path in (RESULTS / method).glob("expt_*.json")]
    made = build(results, [read_result(path) for path in paths]).markdown(compositions.COMPOSITIONS)
    assert made == (compositions.COMPOSITIONS / "compositions.md").read_text(encoding="utf-8")
    page = (Path(__file__).parents[1] / "docs" / "compositions.md").read_text(encoding="utf-8")
    rows = [line for line in made.splitlines() if line.startswith("| `")]
    assert len(rows) > 5
    assert all(row in page for row in rows)


def test_the_errors_of_the_networks_in_the_docs_are_those_of_their_cards() -> None:
    page = (Path(__file__).parents[1] / "docs" / "compositions.md").read_text(encoding="utf-8")
    tags = ("formation_energy", "band_gap", "bulk_modulus", "shear_modulus", "hull_distance", "dielectric")
    names = ("formation energy", "band gap", "bulk modulus", "shear modulus", "distance from the hull", "dielectric")
    for tag, name in zip(tags, names, strict=True):
        row = next(line for line in page.splitlines() if line.startswith(f"| {name}") and "(" in line)
        for column, source in zip(row.split("|")[2:], ("mp", "jarvis"), strict=False):
            if not (found := re.findall(r"\d+(?:\.\d+)?", column.replace("log10(GPa)", ""))):
                continue
            (card,) = find_cards([f"formula_{source}_{tag}"])
            errors = [card.metrics["test_mae"], card.metrics["test_median_mae"]]
            assert [
                f"{error:.{len(text.partition('.')[2])}f}" for error, text in zip(errors, found, strict=True)
            ] == found


def test_methods_on_formulas_see_no_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sorted((CARDS / "compositions").glob("*.yaml")):
        assert load_method(str(path)).kind == "formulas"
    salt, value, seen = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]), np.ones(1), list[Problem]()
    monkeypatch.setattr(mixtures, "mixture", lambda problem, *_: seen.append(problem))
    mixtures.formulas(Problem(([salt], value), ([salt], value), [salt], 7), ["magpie"], {})
    (problem,) = seen
    assert [*problem.train[0], *problem.val[0], *problem.test] == [as_formula("CsCl")] * 3
    assert (problem.train[1], problem.val[1], problem.seed) == (value, value, 7)
