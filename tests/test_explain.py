"""Explanations: who the neighbours are, what the distance is made of, and what networks say in units."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Structure
from toy_mixture import HEADS

from moe_mat import MoEClassifier, MoERegressor, load_expert
from moe_mat.crystals.datasets import load_quickstart
from moe_mat.explain import Explanation, shown, write_explanation
from moe_mat.mixture import nearest_training
from moe_mat.mixture.crystal_inputs import embed_crystals
from moe_mat.mixture.module import MixtureOfExperts
from moe_mat.zoo.cards import ExpertCard
from moe_mat.zoo.find import find_cards
from moe_mat.zoo.learned_targets import learned_targets

EXPERTS = ["magpie", "structure_features"]
N = 40

Fitted = dict[str, MoERegressor]


@pytest.fixture(scope="module")
def crystals() -> tuple[list[Structure], pd.DataFrame]:
    return load_quickstart()


@pytest.fixture(scope="module")
def fitted(crystals: tuple[list[Structure], pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A model of each head; the kernel's has two members."""
    structures, table = crystals
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        given = pd.DataFrame({"structure": structures[:N], "material_id": table["material_id"][:N]})
        return {
            head: MoERegressor(
                EXPERTS, head=head, n_members=2 if head == "kernel" else 1, max_epochs=3, random_state=0
            ).fit(given, table["bulk_modulus"][:N])
            for head in HEADS
        }


def explained(model: MoERegressor, structures: list[Structure], folder: Path) -> Explanation:
    return model.explain(structures, neighbours=3, sources=folder)


# Neighbours -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_a_training_crystal_is_its_own_neighbour_with_name_and_value(
    head: str, fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    structures, table = crystals
    model = fitted[head]
    known = [0, 5, 9]
    told = explained(model, [structures[row] for row in known], tmp_path)
    first = told.neighbours[told.neighbours["rank"] == 1]
    named = model.members_[0].learned
    kept = {named.ids[row] for row in named.rows[0].tolist()}  # the inducing head's landmarks are training rows alone
    learned = np.array([str(row) in kept for row in known])
    assert learned.any()
    assert told.crystals["in_sample"].to_numpy()[learned].all()
    names, values = table["material_id"].to_numpy()[known], table["bulk_modulus"].to_numpy()[known]
    assert first["neighbour"].to_numpy()[learned].tolist() == names[learned].tolist()
    np.testing.assert_allclose(first["value"].to_numpy()[learned], values[learned], rtol=1e-6)
    np.testing.assert_allclose(first["distance"].to_numpy()[learned], 0, atol=1e-5)
    assert told.neighbours["formula"].isin(named.formulas).all()


@pytest.mark.parametrize("head", HEADS)
def test_the_nearest_is_as_far_away_as_the_head_says(
    head: str, fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame]
) -> None:
    member = fitted[head].members_[0]
    batch = embed_crystals(member.cards, crystals[0][N:], "none", device="cpu").batch
    indices, distances = nearest_training(member, batch, 4)
    assert indices.shape == distances.shape == (len(crystals[0]) - N, 4)
    assert (np.diff(distances, axis=1) >= 0).all()
    with torch.inference_mode():
        said = member.say(batch).predicted.distances[:, 0]
    np.testing.assert_allclose(distances[:, 0], said, rtol=1e-2, atol=1e-3)
    assert member.learned is not None
    assert indices.max() < len(member.learned.ids)


def test_a_crystal_without_a_value_is_no_neighbour_for_that_target(
    crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    structures, table = crystals
    values = np.stack([table["bulk_modulus"][:N], np.where(np.arange(N) % 2, np.nan, np.arange(N))], axis=1)
    model = MoERegressor("magpie", n_members=1, max_epochs=1, random_state=0).fit(structures[:N], values)
    told = model.explain(structures[:4], neighbours=2, sources=tmp_path)
    second = told.neighbours[told.neighbours["target"] == "target1"]
    assert (second["neighbour"].astype(int) % 2 == 0).all()
    np.testing.assert_array_equal(second["value"], second["neighbour"].astype(float))
    assert {"target0_predicted", "target1_outside"} <= {*told.crystals}


def test_classes_have_probabilities_and_neighbours_classes(
    crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    structures, table = crystals
    kinds = pd.Series(np.array(["soft", "medium", "hard"])[np.digitize(table["bulk_modulus"][:N], [40, 120])], name="K")
    given = pd.DataFrame({"structure": structures[:N], "material_id": table["material_id"][:N]})
    model = MoEClassifier("magpie", n_members=2, max_epochs=1, random_state=0).fit(given, kinds)
    told = model.explain(structures[N - 2 : N + 2], neighbours=2, sources=tmp_path)
    said = told.crystals
    np.testing.assert_allclose(said[[f"K_p_{one}" for one in model.classes_]], model.predict_proba(structures[38:42]))
    assert said["K_predicted"].tolist() == model.predict(structures[38:42]).tolist()
    assert said["K_percentile"].tolist() == model.domain(structures[38:42])["percentile"].tolist()
    first = told.neighbours[told.neighbours["rank"] == 1]
    assert first["neighbour"].tolist()[:2] == table["material_id"].tolist()[38:40]
    known = dict(zip(table["material_id"], kinds, strict=False))
    assert told.neighbours["value"].tolist() == [known[name] for name in told.neighbours["neighbour"]]
    assert told.experts["gate_weight"].tolist() == pytest.approx([1.0] * 4)
    assert any("means over the classes" in note for note in told.notes)
    assert len(list(shown(told)))


# What the distance is made of -----------------------------------------------------------------------------------------


def test_shares_are_the_parts_of_the_gated_squared_distance(
    fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    told = explained(fitted["kernel"], crystals[0][N : N + 1], tmp_path)
    nearest = told.neighbours.iloc[0]
    row = crystals[1]["material_id"].tolist().index(nearest["neighbour"])
    of_members, distances = [], []
    for member in fitted["kernel"].members_:
        batch = embed_crystals(member.cards, [crystals[0][N], crystals[0][row]], "none", device="cpu").batch
        process, gate = member.head.processes[0], member.head.gates[0](torch.empty(1))[0]
        factor = (process.log_inverse_length.exp() * process.log_signal.softmax(0)).detach()
        apart = torch.stack([(part[0] - part[1]).square().sum() for part in member.head.scaling(batch.embeddings)])
        parts = ((factor[:, None] * gate).sum(0) * apart).detach().double().numpy()
        of_members.append(parts / parts.sum())
        distances.append(parts.sum() ** 0.5)
    assert nearest["distance"] == pytest.approx(np.mean(distances), rel=1e-4)
    shares = told.experts.set_index("expert")["share_of_nearest"]
    np.testing.assert_allclose(shares[EXPERTS], np.mean(of_members, axis=0), rtol=1e-3)
    assert told.experts["share"].sum() == pytest.approx(1)
    assert told.experts["gate_weight"].sum() == pytest.approx(1, abs=1e-3)


def test_a_head_that_mixes_experts_has_weights_and_says_why_no_shares(
    fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    told = explained(fitted["mlp"], crystals[0][N : N + 2], tmp_path)
    assert told.experts["share"].isna().all()
    assert told.experts["gate_weight"].sum() == pytest.approx(2, abs=1e-3)
    assert any("the head mlp mixes the experts" in note for note in told.notes)


# What networks say, and who has seen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("card", find_cards("*_predictions"), ids=lambda card: card.tag)
def test_every_network_of_the_package_speaks_in_units(card: ExpertCard) -> None:
    found = learned_targets(card)
    assert len(found) == card.dim
    for learned in found:
        # It knows more than the mean of what it has learned.
        mean, far = learned.in_unit(np.array([0.0, 1.0]))
        assert 0 < learned.usual_error(np.array([mean]))[0] < far - mean


def test_a_network_knows_metals_in_gpa() -> None:
    structures, table = load_quickstart()
    rows = [table["material_id"].tolist().index(name) for name in ("Al", "Cu", "W", "Si")]
    card = find_cards("light_jarvis_predictions")[0]
    column, learned = next((i, one) for i, one in enumerate(learned_targets(card)) if one.name == "bulk_modulus")
    said = learned.in_unit(load_expert(card.path).embed([structures[row] for row in rows])[:, column])
    np.testing.assert_allclose(said, table["bulk_modulus"].to_numpy()[rows], rtol=0.2)
    assert learned.unit == "GPa"


def test_experts_that_have_seen_nothing_and_quantities_that_are_not_known(
    fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    told = explained(fitted["kernel"], crystals[0][:2], tmp_path)
    assert told.seen["expert"].tolist() == EXPERTS * 2
    assert not told.seen[["same_crystal", "same_formula_with_label"]].any(axis=None)
    assert "no expert of this model is a network that predicts properties of another source" in told.notes
    with pytest.raises(ValueError, match="'hardness_of_heart' measures is not known"):
        fitted["kernel"].explain(crystals[0][:1], quantity="hardness_of_heart", sources=tmp_path)
    with pytest.raises(ValueError, match="neighbours is 0"):
        fitted["kernel"].explain(crystals[0][:1], neighbours=0)


# Old models, and files ------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_know_its_crystals_says_so(
    fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path
) -> None:
    for head, n_members in (("inducing", 1), ("kernel", 2)):
        model = pickle.loads(pickle.dumps(fitted[head]))
        for member in model.members_:
            assert isinstance(member, MixtureOfExperts)
            member.learned = None
        told = explained(model, crystals[0][N : N + 2], tmp_path)
        assert any("did not note what its training crystals are called" in note for note in told.notes)
        assert len(told.neighbours) == (2 * 3 if n_members == 1 else 0)
        assert len(list(shown(told)))


def test_everything_is_written(fitted: Fitted, crystals: tuple[list[Structure], pd.DataFrame], tmp_path: Path) -> None:
    told = explained(fitted["kernel"], crystals[0][N - 1 : N + 2], tmp_path)
    (path,) = write_explanation(told, tmp_path / "told.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [len(one["neighbours"]) for one in content["crystals"]] == [3, 3, 3]
    assert content["crystals"][0]["neighbours"][0].keys() == {
        "target",
        "rank",
        "neighbour",
        "formula",
        "value",
        "distance",
    }
    for ending, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        files = write_explanation(told, tmp_path / f"told{ending}")
        assert len(files) == 5
        assert (
            read(tmp_path / f"told_neighbours{ending}")["neighbour"].tolist() == told.neighbours["neighbour"].tolist()
        )
    with pytest.raises(ValueError, match=r"told\.txt: a \.json, \.csv or \.parquet file is written"):
        write_explanation(told, tmp_path / "told.txt")
