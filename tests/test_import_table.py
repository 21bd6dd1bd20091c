"""Vectors that were computed elsewhere are an expert, as good as the live encoder where there is a vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from test_encoders import repeated, shifted, shuffled, turned
from toy_experts import cgcnn_expert

from moe_mat import MoERegressor, load_expert
from moe_mat.audit.exposure import UnlistedSet, exposure_of
from moe_mat.crystals import CrystalError, UnsupportedCrystalError, load_quickstart
from moe_mat.zoo import CardError, EmbeddingCache, WeightsError, embed, read_card
from moe_mat.zoo.import_table import ImportedTable, import_table

STRUCTURES, TABLE = load_quickstart()
NAMES = TABLE["material_id"].tolist()
RANDOM = np.random.default_rng(0).normal(size=(len(NAMES), 5)).astype(np.float32)


def write_table(
    folder: Path, vectors: ArrayLike, *, names: list[str] | None = None, structures: list[Structure] | None = None
) -> Path:
    """A table of vectors; with structures where these are given."""
    columns: dict[str, object] = {"material_id": names or NAMES[: len(vectors)], "orb": list(np.asarray(vectors))}  # type: ignore[arg-type]
    if structures is not None:
        columns |= {
            "lattice_vectors": [one.lattice.matrix.tolist() for one in structures],
            "cartesian_site_positions": [one.cart_coords.tolist() for one in structures],
            "species_at_sites": [[site.specie.symbol for site in one] for one in structures],
        }
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "orb.parquet")
    return folder / "orb.parquet"


@pytest.fixture(scope="module")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of CIF files by name."""
    folder = tmp_path_factory.mktemp("cifs")
    for name, structure in zip(NAMES, STRUCTURES, strict=True):
        structure.to(str(folder / f"{name}.cif"))
    return folder


def imported(folder: Path, vectors: ArrayLike, crystals: Path, **said: object) -> ImportedTable:
    return import_table(write_table(folder, vectors), folder=folder / "zoo", structures=crystals, **said)  # type: ignore[arg-type]


def test_a_table_is_as_good_as_the_live_encoder(tmp_path: Path, crystals: Path) -> None:
    live = cgcnn_expert(tmp_path / "live", "live")
    vectors = load_expert(live.path).embed(STRUCTURES)
    table = imported(tmp_path, vectors, crystals, tag="live").card
    assert (table.dim, table.settings) == (8, {"width": 8, "n_crystals": len(NAMES)})
    np.testing.assert_array_equal(load_expert(table.path).embed(STRUCTURES), vectors)
    predicted = []
    for card in (live, table):
        model = MoERegressor([str(card.path), "magpie"], n_members=1, max_epochs=4, random_state=0)
        model.fit(STRUCTURES[:40], TABLE["bulk_modulus"][:40])
        predicted.append(model.predict([shuffled(one) for one in STRUCTURES[40:]]))
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-3)


@pytest.mark.parametrize("same_crystal", [turned, shifted, shuffled, repeated])
def test_a_crystal_is_found_however_it_is_written(tmp_path: Path, crystals: Path, same_crystal: object) -> None:
    expert = load_expert(imported(tmp_path, RANDOM, crystals).card.path)
    np.testing.assert_array_equal(expert.embed([same_crystal(one) for one in STRUCTURES]), RANDOM)  # type: ignore[operator]


def test_crystals_may_stand_in_the_table_itself(tmp_path: Path) -> None:
    path = write_table(tmp_path, RANDOM.astype(np.float16), structures=STRUCTURES)
    card = import_table(path, folder=tmp_path, tag="half").card
    assert card.weights_file is not None
    assert card.weights_file.stat().st_mode == card.path.stat().st_mode
    np.testing.assert_array_equal(
        load_expert(card.path).embed(STRUCTURES), RANDOM.astype(np.float16).astype(np.float32)
    )
    with pytest.raises(ValueError, match="if the crystals are elsewhere, name their file by --structures"):
        import_table(write_table(tmp_path, RANDOM), folder=tmp_path)


def test_missing_crystals_are_named_and_counted(tmp_path: Path, crystals: Path) -> None:
    found = imported(tmp_path, RANDOM[:50], crystals)
    assert sorted(found.without_vector) == sorted(NAMES[50:])
    assert not found.without_crystal
    expert = load_expert(found.card.path)
    stretched = STRUCTURES[0].copy().apply_strain(0.01)
    with pytest.raises(
        UnsupportedCrystalError, match=f"50 crystals has 1 of the formula {NAMES[0]}, and this is none of"
    ):
        expert.embed([stretched])
    with pytest.raises(UnsupportedCrystalError, match=rf"has none of the formula {NAMES[55]}: compute the vector"):
        expert.embed([STRUCTURES[55]])
    model = MoERegressor(str(found.card.path), n_members=1, max_epochs=2)
    said = r"crystal 50 \(\w+\): expert orb: its table of 50 .*; 7 more crystals cannot be embedded: 51, .*, 55, \.\.\."
    with pytest.raises(CrystalError, match=said):
        model.fit(STRUCTURES, TABLE["bulk_modulus"])


def test_the_cache_holds_what_this_table_says(tmp_path: Path, crystals: Path) -> None:
    """Another table of the same tag has other vectors and other crystals."""
    with EmbeddingCache() as cache:
        few = imported(tmp_path, RANDOM[:50], crystals).card
        assert set(embed([few], STRUCTURES, cache=cache).refused) == set(range(50, len(NAMES)))
        all_of_them = imported(tmp_path, 2 * RANDOM, crystals).card
        found = embed([all_of_them], STRUCTURES, cache=cache)
        assert not found.refused
        np.testing.assert_array_equal(found.values["orb"], 2 * RANDOM)


def test_vectors_that_cannot_be_used_are_named(tmp_path: Path, crystals: Path) -> None:
    vectors = RANDOM.copy()
    vectors[3, 2] = np.nan
    with pytest.raises(
        CrystalError, match=rf"orb\.parquet, row 3, crystal '{NAMES[3]}', column 'orb': number 2 of its"
    ):
        imported(tmp_path, vectors, crystals)
    assert not (tmp_path / "zoo").exists()
    found = imported(tmp_path, vectors, crystals, on_error="skip")
    assert [one.material_id for one in found.left_out] == [NAMES[3]]
    assert found.card.settings["n_crystals"] == len(NAMES) - 1
    expert = load_expert(found.card.path)
    np.testing.assert_array_equal(expert.embed(STRUCTURES[4:]), RANDOM[4:])
    with pytest.raises(UnsupportedCrystalError):
        expert.embed([STRUCTURES[3]])


def test_one_crystal_has_one_vector(tmp_path: Path, crystals: Path) -> None:
    names, twice = [*NAMES, NAMES[1]], np.concatenate([RANDOM, RANDOM[1:2] * 1.001])
    path = write_table(tmp_path, twice, names=names)
    assert import_table(path, folder=tmp_path, structures=crystals).card.settings["n_crystals"] == len(NAMES)
    path = write_table(tmp_path, np.concatenate([RANDOM, RANDOM[2:3]]), names=names)
    with pytest.raises(
        CrystalError, match=f"row {len(NAMES)}, crystal '{NAMES[1]}', .* a second time, with another vector"
    ):
        import_table(path, folder=tmp_path, structures=crystals)


def test_the_same_crystal_by_two_names_has_one_vector(tmp_path: Path) -> None:
    names, structures = [*NAMES, "copy"], [*STRUCTURES, repeated(STRUCTURES[7])]
    path = write_table(tmp_path, np.concatenate([RANDOM, RANDOM[7:8] * 1.001]), names=names, structures=structures)
    card = import_table(path, folder=tmp_path).card
    np.testing.assert_allclose(load_expert(card.path).embed(STRUCTURES), RANDOM, rtol=2e-3)
    path = write_table(tmp_path, np.concatenate([RANDOM, RANDOM[8:9]]), names=names, structures=structures)
    with pytest.raises(CrystalError, match=rf"is the same crystal as '({NAMES[7]}|copy)', and has another vector"):
        import_table(path, folder=tmp_path)
    found = import_table(path, folder=tmp_path, on_error="skip")
    assert [one.material_id for one in found.left_out] in (["copy"], [NAMES[7]])


def test_ids_of_another_data_set_are_refused(tmp_path: Path, crystals: Path) -> None:
    path = write_table(tmp_path, RANDOM, names=[f"mp-{row}" for row in range(len(NAMES))])
    with pytest.raises(ValueError, match=r"no crystal of .* \(such as 'Ag'\) has a vector in .* \(such as 'mp-0'\)"):
        import_table(path, folder=tmp_path, structures=crystals)


def test_a_tampered_file_is_refused(tmp_path: Path, crystals: Path) -> None:
    card = imported(tmp_path, RANDOM, crystals).card
    assert card.weights_file is not None
    content = bytearray(card.weights_file.read_bytes())
    content[-1] ^= 1
    card.weights_file.write_bytes(content)
    with pytest.raises(WeightsError, match="does not have the SHA-256 of its card"):
        load_expert(card.path)
    with pytest.raises(CardError, match="is not valid: tag"):
        import_table(write_table(tmp_path, RANDOM), folder=tmp_path, structures=crystals, tag="a tag")


def test_the_audit_knows_what_the_card_says(tmp_path: Path, crystals: Path) -> None:
    card = imported(tmp_path, RANDOM, crystals).card
    assert exposure_of(card).unlisted == (UnlistedSet("the card of orb names no source"),)
    imported(tmp_path, RANDOM, crystals, source="OMat24", license="Apache-2.0", citation="arXiv:2504.06231")
    assert exposure_of(read_card(card.path)).unlisted == (UnlistedSet("OMat24"),)
    assert (read_card(card.path).license, read_card(card.path).citation) == ("Apache-2.0", "arXiv:2504.06231")
