import json
from pathlib import Path

import pytest

from benchmarks import families
from benchmarks.cells.results import write_result
from benchmarks.methods.cards import CARDS, load_method
from benchmarks.reports.families import compare, matbench
from moe_mat.tasks import TaskCards
from moe_mat.zoo.find import find_cards


def result(method: str, task: str, split: int, val: float, test: float, **more: object) -> dict[str, object]:
    numbers = {"val_mae": val, "test_mae": test, "seconds": 1.0}
    return {"task": task, "split": split, "method": method, "seed": 0, **numbers, "experts": ["a", "b"], **more}


def test_only_cells_that_both_have_are_compared_and_tasks_count_alike() -> None:
    reference = [result("moe", "a", split, 1.0, 2.0) for split in range(3)] + [result("moe", "b", 0, 1.0, 1.0)]
    own = [
        result("x", "a", 0, 1.5, 2.0),
        result("x", "a", 1, 0.5, 4.0),
        result("x", "b", 0, 2.0, 0.5),
        result("x", "b", 4, 9.0, 9.0),
        result("x", "b", 0, 9.0, 9.0, n_labels=10),
    ]
    found = compare(own, reference, title="x")
    assert (found.n_cells, found.n_experts) == (3, 2)
    assert found.val == pytest.approx({"a": 0.0, "b": 1.0})
    assert found.test == pytest.approx({"a": 0.5, "b": -0.5})
    with pytest.raises(ValueError, match="x: no cell is also one of moe"):
        compare(own[3:4], reference, title="x")


def test_tables_and_curve_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--results", str(tmp_path / "families"), "--reference", str(tmp_path / "results")]
    assert families.main(arguments) == 1
    assert "run the sweep with --methods" in capsys.readouterr().err
    write_result(result("moe", "mp_phonons", 0, 1.0, 1.0), tmp_path / "results")
    write_result(result("hub-5", "mp_phonons", 0, 1.1, 1.2), tmp_path / "families")
    speed = tmp_path / "sets.json"
    assert families.main([*arguments, "--speed", str(speed)]) == 0
    text = (tmp_path / "families" / "families.md").read_text()
    assert "`hub-5` | The first 5 of the default experts in a random order | 2 |  | 1 | +10.0% | +20.0% | 1/1 |" in text
    assert (tmp_path / "families" / "growth.png").stat().st_size > 1000
    assert "Error against time" not in text
    speed.write_text(json.dumps({"seconds": {"moe": 0.05, "hub-5": 0.041}}))
    assert families.main([*arguments, "--speed", str(speed)]) == 0
    text = (tmp_path / "families" / "families.md").read_text()
    assert "in a random order | 2 | 0.82 | 1 |" in text
    assert "(50 ms in this run)" in text
    assert (tmp_path / "families" / "time.png").stat().st_size > 1000


def test_tasks_of_matbench_stand_apart_with_all_their_folds() -> None:
    reference = [result("moe", "matbench_phonons", fold, 1.0, 20.0 + fold) for fold in range(5)]
    own = [result("x", "matbench_phonons", fold, 1.0, 16.5) for fold in range(5)]
    own += [result("x", "matbench_jdft2d", 0, 1.0, 1.0), result("x", "mp_phonons", 0, 1.0, 1.0)]
    rows = matbench(own, reference, cards=TaskCards())
    assert rows == [["`matbench_phonons`, 1/cm", "`x`", "16.5", "22", "-25.0%"]]


def test_the_hub_grows_by_adding_default_experts() -> None:
    sizes = {}
    for path in sorted((CARDS / "families").glob("hub-*.yaml")):
        sizes[path.stem] = {card.tag for card in find_cards(list(load_method(str(path)).experts))}
    default = {card.tag for card in find_cards("default")}
    assert sizes["hub-5"] < sizes["hub-10"] < sizes["hub-20"] < default
