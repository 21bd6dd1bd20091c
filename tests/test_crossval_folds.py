"""Folds: every row is tested once, no group is divided, and nothing later is learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from moe_mat import MoERegressor, chemical_system_groups, cluster_groups, formula_groups
from moe_mat.crystals import Fold, load_quickstart, make_folds, times_of
from moe_mat.mixture.embedding_data import EmbeddingDataModule
from moe_mat.mixture.fold_training import FoldTraining
from moe_mat.mixture.settings import MixtureSettings, TrainingSettings
from moe_mat.mixture.training import member_seeds
from moe_mat.zoo import cluster_labels, embed, find_cards


def rows(fold: Fold) -> list[int]:
    return sorted(np.concatenate(fold.split).tolist())


@given(n_rows=st.integers(12, 90), n_folds=st.integers(2, 6), n_repeats=st.integers(1, 3), seed=st.integers(0, 9))
def test_each_row_is_tested_once_a_repeat(n_rows: int, n_folds: int, n_repeats: int, seed: int) -> None:
    folds = make_folds(n_rows, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    assert [(fold.repeat, fold.number) for fold in folds] == [
        (repeat, number) for repeat in range(n_repeats) for number in range(n_folds)
    ]
    for fold in folds:
        assert rows(fold) == list(range(n_rows))
        assert len(fold.split.val) >= 1
    tested = [sorted(np.concatenate([f.split.test for f in folds if f.repeat == one])) for one in range(n_repeats)]
    assert tested == [list(range(n_rows))] * n_repeats
    if n_repeats > 1:
        assert folds[0].split.test.tolist() != folds[n_folds].split.test.tolist()


@given(sizes=st.lists(st.integers(1, 9), min_size=8, max_size=30), n_folds=st.integers(2, 6), seed=st.integers(0, 9))
def test_no_group_is_divided(sizes: list[int], n_folds: int, seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    groups = groups[np.random.default_rng(seed).permutation(len(groups))]
    folds = make_folds(len(groups), n_folds=n_folds, seed=seed, groups=groups.tolist())
    assert sorted(np.concatenate([fold.split.test for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert rows(fold) == list(range(len(groups)))
        parts = [set(groups[part].tolist()) for part in fold.split]
        assert all(parts)
        assert sum(map(len, parts)) == len(sizes)
        assert len(fold.split.test) <= len(groups) / n_folds + 2 * max(sizes)


def test_one_group_left_to_train_on_is_divided_for_validation() -> None:
    folds = make_folds(20, n_folds=2, groups=["a"] * 10 + ["b"] * 10)
    assert [sorted(map(len, fold.split)) for fold in folds] == [[2, 8, 10]] * 2


@given(ties=st.integers(1, 4), n_folds=st.integers(2, 4), seed=st.integers(0, 99))
def test_nothing_later_is_learned_from(ties: int, n_folds: int, seed: int) -> None:
    times = np.random.default_rng(seed).permutation(40) // ties
    folds = make_folds(40, n_folds=n_folds, times=times)
    sizes = [len(fold.split.train) + len(fold.split.val) for fold in folds]
    assert sizes == sorted(sizes)
    for fold in folds:
        train, val, test = (times[part] for part in fold.split)
        assert max(train.max(), val.max()) < test.min()
        assert train.max() <= val.min()
        assert len(np.concatenate(fold.split)) == len({*rows(fold)})
    tested = np.concatenate([fold.split.test for fold in folds])
    assert len(tested) == len({*tested.tolist()})


def test_what_was_measured_again_later_is_not_learned_from() -> None:
    times, groups = np.arange(40.0), [str(row % 20) for row in range(40)]
    for fold in make_folds(40, n_folds=4, times=times, groups=groups):
        train, test = ({groups[row] for row in part} for part in (np.concatenate(fold.split[:2]), fold.split.test))
        assert not train & test


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"n_folds": 1}, "folds is 1: at least 2"),
        ({"n_folds": 9}, "8 crystals cannot be divided into 9 folds"),
        ({"n_folds": 3, "n_repeats": 0}, "repeats is 0"),
        ({"n_folds": 3, "groups": ["a"] * 4 + ["b"] * 4}, "2 groups cannot be divided into 3 folds"),
        ({"n_folds": 3, "n_repeats": 2, "times": np.arange(8)}, "leave out repeats"),
        ({"n_folds": 8, "times": np.arange(8)}, "8 crystals cannot be divided into 8 folds along time"),
        ({"n_folds": 3, "times": np.ones(8)}, "fold 0 has 0 rows to train and validate on"),
    ],
)
def test_folds_that_cannot_be_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make_folds(8, **settings)  # type: ignore[arg-type]


def test_times_are_numbers_or_dates() -> None:
    table = pd.DataFrame(
        {
            "material_id": ["x", "y", "z"],
            "year": ["1999", "2004", "2001"],
            "date": ["2012-05-03", "2011-12-31", "2012-05-03T10:00"],
            "gap": [1999, None, 2001],
            "lab": ["1999", "Kyoto", "2001"],
        }
    )
    assert times_of("year", table).argsort().tolist() == [0, 2, 1]
    assert times_of("date", table).argsort().tolist() == [1, 0, 2]
    with pytest.raises(ValueError, match="'gap' has no value for 1 crystals, the first is 'y'"):
        times_of("gap", table)
    with pytest.raises(ValueError, match="'lab' has no order: 'Kyoto' of crystal 'y' is no number and no date"):
        times_of("lab", table)
    with pytest.raises(ValueError, match="no column of the data: there are material_id, year"):
        times_of("when", table)


def test_clusters_are_of_crystals_that_are_alike() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(5, 30)) * 9
    of_row = np.repeat(np.arange(5), 12)
    values = {"a": centres[of_row, :20] + random.normal(size=(60, 20)), "b": centres[of_row, 20:]}
    found = cluster_labels(values, n_clusters=5)
    assert len({*zip(found.tolist(), of_row.tolist(), strict=True)}) == 5
    assert len(set(cluster_labels({"a": values["a"][:10]}).tolist())) == 2
    assert set(cluster_labels({"a": np.ones((30, 4))}).tolist()) == {0}


def test_scikit_learn_takes_the_groups_and_agrees() -> None:
    structures, table = load_quickstart()
    structures, values = structures[:40], table["bulk_modulus"].to_numpy()[:40]
    assert chemical_system_groups(structures)[9] == "Cl"
    assert len({*formula_groups(structures)}) == 40
    model = MoERegressor("magpie", n_members=1, max_epochs=3, random_state=5)
    clusters = cluster_groups(structures, experts="magpie", n_clusters=6)
    settings = {"scoring": "neg_mean_absolute_error"}
    scores = cross_val_score(model, structures, values, cv=GroupKFold(3), groups=clusters, **settings)
    assert np.isfinite(scores).all()

    scores = cross_val_score(model, structures, values, cv=KFold(3, shuffle=True, random_state=1), **settings)
    (seed,) = member_seeds(5, 1)
    embeddings = embed(find_cards("magpie"), structures).values["magpie"]
    targets = torch.tensor(values, dtype=torch.float32)[:, None]
    data = EmbeddingDataModule(torch.from_numpy(embeddings), targets, {}, ids=[str(row) for row in range(40)])
    training = FoldTraining(data, MixtureSettings(experts="magpie"), TrainingSettings(max_epochs=3), seed, 0.9)
    folds = make_folds(40, n_folds=3, seed=1, validation_seed=seed)
    found = [training(fold).metrics["mae"].item() for fold in folds]
    np.testing.assert_allclose(found, -scores, rtol=1e-5)
