"""What to measure next: goals, batches, constraints, and that nothing measured is suggested again."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from moe_mat import MoEClassifier, MoERegressor
from moe_mat.crystals import load_quickstart
from moe_mat.suggest import Constraints, Goal, Measured, Wanted, choose
from moe_mat.suggest.goals import expected_excess
from moe_mat.suggest.pool import Candidates, Pool

KNOWN = 25


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MoERegressor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        structures, table = load_quickstart()
        small = MoERegressor(experts="magpie", n_members=1, max_epochs=2, random_state=0)
        yield small.fit(structures[:KNOWN], table["bulk_modulus"][:KNOWN])


@pytest.mark.parametrize("text", ["max", "min", "target=1.5"])
def test_expected_improvement_is_that_of_drawn_values(text: str) -> None:
    goal, mean, std = Goal.parse(text), np.array([0.5, 1.4, 3.0]), np.array([0.5, 1.0, 0.2])
    bar = goal.bar(np.array([0.8, 1.9, 1.1]), 1)
    drawn = mean + std * np.random.default_rng(0).standard_normal((400_000, 3))
    expected = np.maximum(goal.merit(drawn) - bar, 0).mean(0)
    np.testing.assert_allclose(goal.improvement(mean, std, bar), expected, atol=4e-3)


@pytest.mark.parametrize("text", ["maximum", "target", "target=high", "target=nan", "max=3", "class", "class="])
def test_what_is_no_goal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="use max, min, target"):
        Goal.parse(text)


def test_the_bar_is_the_best_but_so_many() -> None:
    values = np.array([1.0, 5.0, 3.0])
    assert [Goal.parse("max").bar(values, n) for n in (1, 2, 9)] == [5.0, 3.0, 1.0]
    assert Goal.parse("min").bar(values, 1) == -1.0
    assert Goal.parse("target=2.9").bar(values, 1) == pytest.approx(-0.1)


def test_what_is_sure_to_exceed_a_level_exceeds_it_by_the_difference() -> None:
    assert expected_excess(np.array([3.0]), np.array([0.0]), 1.0) == pytest.approx(2.0)


def test_a_diverse_batch_passes_twins_by() -> None:
    """Two groups of crystals that are alike: the better one's twins give way to the other group."""
    mixed = torch.tensor([[0.0], [0.001], [0.002], [1.0], [1.001]])
    mean, std = np.array([1.0, 0.99, 0.98, 0.9, 0.89]), np.full(5, 0.5)
    for goal in ("max", "uncertainty"):
        wanted = Wanted(Goal.parse(goal), 2, "improvement", "diverse")
        rows, worth = choose(wanted, mean, std, mixed, bar=0.9, random=np.random.default_rng(0))
        assert rows[0] == 0
        assert rows[1] in (3, 4)
        assert worth[0] > worth[1] > 0
    best = Wanted(Goal.parse("max"), 2, "improvement", "best")
    assert choose(best, mean, std, mixed, bar=0.9, random=np.random.default_rng(0))[0] == [0, 1]


def test_draws_of_twins_are_alike_and_a_seed_repeats_them() -> None:
    mixed, mean, std = torch.tensor([[0.0], [0.0001], [1.0], [2.0]]), np.zeros(4), np.ones(4)
    wanted = Wanted(Goal.parse("max"), 4, "thompson", "diverse")
    runs = [choose(wanted, mean, std, mixed, bar=0.0, random=np.random.default_rng(3)) for _ in range(2)]
    assert sorted(runs[0][0]) == [0, 1, 2, 3]
    assert runs[0][0] == runs[1][0]
    with pytest.raises(ValueError, match="the goal is uncertainty"):
        Wanted(Goal.parse("uncertainty"), 4, "thompson", "diverse")


def test_the_pool_keeps_the_best_of_any_number_and_each_crystal_once() -> None:
    pool, values = Pool(10), np.random.default_rng(0).permutation(1000).astype(float)
    for start in range(0, 1000, 50):
        some = values[start : start + 50]
        names = [str(int(value)) for value in some]
        offered = Candidates(names, names, [name.encode() for name in names], {"v": some}, torch.ones(50, 2))
        pool.offer(offered, some)
        pool.offer(offered, some)
    assert pool.candidates is not None
    assert sorted(map(int, map(str, pool.candidates.ids))) == list(range(990, 1000))
    assert len(pool.candidates.mixed) == 10


def test_constraints_name_what_is_wrong_with_a_crystal() -> None:
    salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    assert Constraints.parse("Pb, Cs", None).problem(salt) == "with Cs"
    assert Constraints.parse(["Pb"], 1).problem(salt) == "more than 1 atoms"
    assert Constraints.parse(None, 2).problem(salt) is None
    with pytest.raises(ValueError, match="Xx is no element"):
        Constraints.parse("Pb,Xx", None)


def test_a_measured_crystal_is_found_in_another_cell_and_its_polymorphs_are_others() -> None:
    salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    known = Measured([salt], np.array([[1.0]]))
    assert salt * (2, 1, 1) in known
    assert salt.copy().apply_strain(0.005) in known
    rock = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.9), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    assert rock not in known


def test_suggestions_of_a_model(model: MoERegressor) -> None:
    structures, _ = load_quickstart()
    candidates = [*structures, structures[3] * (2, 1, 1), structures[40]]
    found = model.suggest(candidates, n=5, without="W", max_atoms=20)
    assert list(found["rank"]) == [1, 2, 3, 4, 5]
    assert found["row"].between(KNOWN, len(structures) - 1).all()  # neither a measured one nor its larger cell
    assert "W" not in set(found["formula"])
    assert found["acquisition"].is_monotonic_decreasing
    assert (found["lower"] <= found["predicted"]).all()
    assert found.attrs["known"] == [*range(KNOWN), len(structures)]
    assert sum(found.attrs["excluded"].values()) + found.attrs["considered"] == len(candidates) - KNOWN - 1
    chosen = [candidates[row] for row in found["row"]]
    np.testing.assert_allclose(found["predicted"], model.predict(chosen), rtol=1e-5)
    np.testing.assert_array_equal(found["percentile"], model.domain(chosen)["percentile"])
    again = pickle.loads(pickle.dumps(model)).suggest(candidates, n=5, without="W", max_atoms=20)
    assert again.equals(found)
    every = model.suggest(candidates, n=500)
    assert every["row"].is_unique
    assert len(every) == len(structures) - KNOWN  # the same crystal twice is one
    assert model.suggest(structures[:KNOWN]).empty


def test_goals_of_a_model(model: MoERegressor) -> None:
    structures, _ = load_quickstart()
    low, high = (model.suggest(structures, 5, goal, acquisition="prediction") for goal in ("min", "max"))
    assert low["predicted"].is_monotonic_increasing
    assert high["predicted"].is_monotonic_decreasing
    near = model.suggest(structures, 5, "target=100", acquisition="prediction")
    assert (near["predicted"] - 100).abs().is_monotonic_increasing
    unsure = model.suggest(structures, 1, "uncertainty")
    assert float(unsure["std"].iloc[0]) == pytest.approx(float(model.suggest(structures, 99)["std"].max()))
    with pytest.raises(ValueError, match="the goal is 'class=hard', and bulk_modulus is a number: use max, min"):
        model.suggest(structures, 5, "class=hard")
    with pytest.raises(ValueError, match="target is 'gap'"):
        model.suggest(structures, 5, target="gap")


def test_suggestions_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path))
    structures, table = load_quickstart()
    kinds = np.array(["soft", "medium", "hard"])[np.digitize(table["bulk_modulus"], [40, 120])]
    small = MoEClassifier("magpie", n_members=2, max_epochs=1, random_state=0).fit(structures[:40], kinds[:40])
    said = small.predict_proba(structures)[40:]
    hard = small.suggest(structures, 30, "class=hard", batch="best")
    assert list(hard["row"] - 40) == np.argsort(-said[:, 0], kind="stable").tolist()
    np.testing.assert_allclose(hard["acquisition"], hard["p_hard"], rtol=1e-5)
    assert hard["predicted"].tolist() == small.predict([structures[row] for row in hard["row"]]).tolist()
    assert hard.attrs["known"] == list(range(40))
    entropy = -(said * np.log(said)).sum(1) / np.log(3)
    unsure = small.suggest(structures, 30, batch="best")
    np.testing.assert_allclose(unsure["acquisition"], np.sort(entropy)[::-1], rtol=1e-6)
    varied = small.suggest(structures, 5, max_atoms=2, without="W")
    assert varied["row"].iloc[0] == next(row for row in unsure["row"] if row in set(varied["row"]))
    assert varied["acquisition"].is_monotonic_decreasing
    assert varied["acquisition"].iloc[1] < entropy[varied["row"].iloc[1] - 40]
    with pytest.raises(ValueError, match="no class 'hrad': its classes are hard, medium, soft"):
        small.suggest(structures, goal="class=hrad")
    with pytest.raises(ValueError, match="the goal is 'max', and target0 is a class: use uncertainty, or class=NAME"):
        small.suggest(structures, goal="max")


def test_the_loop_of_the_documentation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "suggest.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- the loop -->\n```python\n(.*?)^```$", page, flags=re.M | re.S)
    monkeypatch.setattr("moe_mat.mixture.heads.kernel.KernelHead.max_epochs", 5)  # its numbers are not looked at
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    known = [int(line.split()[0]) for line in said.getvalue().splitlines()]
    assert known == [20, 25, 30]
