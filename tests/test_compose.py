"""Composition of a hub for a task: from crystals to weights, cards and merged experts, in Python and by the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pymatgen.core import Lattice, Structure
from toy_experts import cgcnn_expert
from toy_hub import hub, module

from moe_mat.cli.main import main
from moe_mat.crystals.errors import CrystalError
from moe_mat.crystals.splits import random_split
from moe_mat.files.folders import configs_folder
from moe_mat.moma.amc import amc_weights, loo_knn_predictions
from moe_mat.moma.composition import Composition, compose
from moe_mat.moma.settings import CompositionSettings
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.experts import build_expert, load_expert
from moe_mat.zoo.find import find_cards

RANDOM = np.random.default_rng(0)
N_CRYSTALS = 40
CRYSTALS = [
    Structure(Lattice.cubic(a), [metal, halogen], [[0, 0, 0], [0.5] * 3])
    for a, metal, halogen in zip(
        RANDOM.uniform(3.2, 5, N_CRYSTALS),
        RANDOM.choice(["Na", "K", "Rb", "Cs"], N_CRYSTALS),
        RANDOM.choice(["F", "Cl", "Br"], N_CRYSTALS),
        strict=True,
    )
]
VALUES = np.array([8 / structure.lattice.a for structure in CRYSTALS])


def names(folder: Path, kind: str = "full") -> list[str]:
    return [str(path) for path in sorted(folder.glob(f"{kind}_*.yaml"))]


def test_weights_are_those_of_predictions_from_all_crystals(tmp_path: Path) -> None:
    _, *cards = hub(tmp_path)
    found = compose(names(tmp_path), CRYSTALS, VALUES)
    scaled = (VALUES - VALUES.mean()) / VALUES.std()
    predictions = [loo_knn_predictions(build_expert(card).embed(CRYSTALS), scaled) for card in cards]
    expected = amc_weights(np.stack(predictions, axis=1), scaled)
    np.testing.assert_allclose([found.weights[card.tag] for card in cards], expected, atol=1e-5)
    for card, of_module in zip(cards, predictions, strict=True):
        assert found.proxy_errors[card.tag] == pytest.approx(np.mean((of_module - scaled) ** 2), rel=1e-4)
    assert found.error <= min(found.proxy_errors.values())
    assert (found.rows, sum(found.weights.values())) == (N_CRYSTALS, pytest.approx(1))
    assert found.seconds > 0
    assert set(found.selected) == {tag for tag, weight in found.weights.items() if weight > 0}


def test_order_of_crystals_and_modules_does_not_matter(tmp_path: Path) -> None:
    hub(tmp_path)
    plain = compose(names(tmp_path), CRYSTALS, VALUES)
    order = np.random.default_rng(1).permutation(N_CRYSTALS)
    shuffled = compose(names(tmp_path)[::-1], [CRYSTALS[row] for row in order], VALUES[order])
    assert list(plain.weights) == list(shuffled.weights)
    np.testing.assert_allclose(list(plain.weights.values()), list(shuffled.weights.values()), atol=1e-6)


def test_scale_and_offset_of_the_target_do_not_matter_and_heavy_tails_are_bent(tmp_path: Path) -> None:
    hub(tmp_path)
    plain, scaled = (compose(names(tmp_path), CRYSTALS, y) for y in (VALUES, 1e4 * VALUES - 3e4))
    np.testing.assert_allclose(list(plain.weights.values()), list(scaled.weights.values()), atol=1e-4)
    tailed, logarithmic = (
        VALUES.copy(),
        compose(names(tmp_path), CRYSTALS, np.exp(4 * VALUES), settings=CompositionSettings(transform="log")),
    )
    np.testing.assert_allclose(list(plain.weights.values()), list(logarithmic.weights.values()), atol=1e-3)
    tailed[0] = 1e9
    assert compose(names(tmp_path), CRYSTALS, tailed).error < 2  # a single outlier does not drown the others


def test_copies_of_a_crystal_are_left_out_together(tmp_path: Path) -> None:
    hub(tmp_path)
    plain = compose(names(tmp_path), CRYSTALS[:20], VALUES[:20])
    # The same crystals again, with the same labels: each copy could predict the other without an error.
    twice = compose(names(tmp_path), CRYSTALS[:20] * 2, np.tile(VALUES[:20], 2))
    assert plain.error > 0.01
    assert twice.error > 0.5 * plain.error


def test_a_new_module_that_is_not_selected_changes_nothing(tmp_path: Path) -> None:
    of, *_ = hub(tmp_path)
    before = compose(names(tmp_path), CRYSTALS, VALUES)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    after = None
    for seed in range(6, 30):
        module(of, "full_new", seed=seed, step=3.0)
        after = compose(names(tmp_path), CRYSTALS, VALUES)
        if after.weights["full_new"] == 0:
            break
    assert after is not None
    assert after.weights.pop("full_new") == 0
    assert after.weights == before.weights  # to the last bit
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_card_comes_back_from_its_file(tmp_path: Path) -> None:
    hub(tmp_path)
    found = compose(names(tmp_path), CRYSTALS[:12], VALUES[:12], settings=CompositionSettings(entropy=0.1, k=3))
    found.write(tmp_path / "new" / "composition.yaml")
    assert Composition.read(tmp_path / "new" / "composition.yaml") == found
    assert found.settings.entropy == 0.1
    (tmp_path / "other.yaml").write_text("weights: {}")
    with pytest.raises(ValueError, match=r"other\.yaml is no composition"):
        Composition.read(tmp_path / "other.yaml")
    with pytest.raises(ValueError, match=r"cannot read the composition .*nowhere"):
        Composition.read(tmp_path / "nowhere.yaml")


def test_what_cannot_be_composed_is_named(tmp_path: Path) -> None:
    hub(tmp_path)
    with pytest.raises(ValueError, match="one finite number for each crystal"):
        compose(names(tmp_path), CRYSTALS[:3], [1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="do not go together"):
        compose(names(tmp_path), CRYSTALS[:3], [1.0, 2.0])
    with pytest.raises(CardError, match="no expert 'nobody'"):
        compose("nobody", CRYSTALS[:3], [1.0, 2.0, 3.0])
    unknown = Structure(Lattice.cubic(3), ["Og"], [[0, 0, 0]])
    with pytest.raises(CrystalError, match=r"crystal 1 .*Og"):
        compose(names(tmp_path), [CRYSTALS[0], unknown, CRYSTALS[1]], [1.0, 2.0, 3.0])


def write_task(folder: Path) -> Path:
    columns = {
        "lattice_vectors": [structure.lattice.matrix.tolist() for structure in CRYSTALS],
        "cartesian_site_positions": [structure.cart_coords.tolist() for structure in CRYSTALS],
        "species_at_sites": [[site.specie.symbol for site in structure] for structure in CRYSTALS],
        "material_id": [f"c{i}" for i in range(N_CRYSTALS)],
        "gap": VALUES,
    }
    pd.DataFrame(columns).to_parquet(folder / "task.parquet")
    return folder / "task.parquet"


def test_the_command_writes_card_configuration_and_merged_expert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *cards = hub(tmp_path / "hub", kind="adapter")
    task, output = write_task(tmp_path), tmp_path / "composed"
    command = ["compose", str(task), "--target", "gap", "--modules", str(tmp_path / "hub" / "adapter_*")]
    assert main([*command, "--output", str(output), "--split", "3"]) == 0
    shown = capsys.readouterr().out
    assert "28 training crystals" in shown

    # The training rows are those of fit with the same split, and nothing else enters.
    rows = random_split(N_CRYSTALS, fractions=(0.7, 0.15, 0.15), seed=3).train
    expected = compose([card.reference for card in cards], [CRYSTALS[row] for row in rows], VALUES[rows].astype("f4"))
    found = Composition.read(output / "composition.yaml")
    assert replace(found, seconds=0.0) == replace(expected, seconds=0.0)
    config = yaml.safe_load((output / "mixture.yaml").read_text())
    assert config["model"]["initial_gate"] == {tag: found.weights[tag] for tag in found.selected}
    assert [card.tag for card in find_cards(config["model"]["experts"])] == found.selected
    merged = load_expert(output / "merged")
    assert merged.tag == "merged_gap"
    assert merged.card.training["composition"]["weights"] == found.weights
    # What an audit follows.
    assert merged.card.training["merged"] == {tag: found.weights[tag] for tag in found.selected}
    settings = yaml.safe_load((configs_folder() / "moma.yaml").read_text())["model"]
    tuned = yaml.safe_load((output / "merged.yaml").read_text())["model"]
    assert tuned == {"experts": merged.card.reference, **settings}
    assert np.isfinite(merged.embed(CRYSTALS[:2])).all()


def test_the_command_merges_nothing_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cgcnn_expert(tmp_path / "zoo", "lone")
    command = ["compose", str(write_task(tmp_path)), "--target", "gap", "--output", str(tmp_path / "composed")]
    (tmp_path / "composed").mkdir()
    (tmp_path / "composed" / "merged.yaml").write_text("of an earlier composition")
    assert main([*command, "--modules", f"[{tmp_path / 'zoo'},magpie]"]) == 0
    assert "nothing is merged: expert lone is no module" in " ".join(capsys.readouterr().out.split())
    assert sorted(path.name for path in (tmp_path / "composed").iterdir()) == ["composition.yaml", "mixture.yaml"]
    assert main(["compose", str(tmp_path / "nothing.csv"), "--target", "gap", "--modules", "magpie"]) == 1
    assert "nothing.csv" in capsys.readouterr().err
