"""What crystals take in memory is known before they are computed; what is not read out is not computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals
from toy_experts import cgcnn_expert

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.encoders import LocalEnvironmentEncoder, base, prepare_checked
from moe_mat.encoders.cgcnn import CGCNNEncoder
from moe_mat.encoders.descriptors import encoders
from moe_mat.encoders.descriptors.packing import empty_slabs
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.descriptors.shells import neighbour_shells
from moe_mat.zoo import crystal_passes
from moe_mat.zoo.embeddings import embed

CRYSTALS = list(reference_crystals().values())
ROCKSALT = reference_crystals()["NaCl rocksalt"]


def test_a_batch_that_needs_too_much_is_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    whole = embed([card], CRYSTALS).values["toy"]
    collate, sizes = CGCNNEncoder.collate, []
    monkeypatch.setattr(CGCNNEncoder, "collate", lambda self, samples: sizes.append(samples) or collate(self, samples))
    monkeypatch.setattr(CGCNNEncoder, "memory", lambda self, sample: sample.n_atoms)
    monkeypatch.setattr(crystal_passes, "BATCH_MEMORY", 9)
    np.testing.assert_allclose(embed([card], CRYSTALS).values["toy"], whole, rtol=1e-5, atol=1e-6)
    assert len(sizes) > 1
    assert all(len(samples) == 1 or sum(sample.n_atoms for sample in samples) <= 9 for samples in sizes)


def test_a_crystal_that_needs_too_much_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    monkeypatch.setattr(CGCNNEncoder, "memory", lambda self, sample: 2**30 if sample.n_atoms > 4 else 0)
    monkeypatch.setattr(base, "MOST_MEMORY", 2**29)
    embedded = embed([card], CRYSTALS)
    assert set(embedded.refused) == {row for row, crystal in enumerate(CRYSTALS) if len(crystal) > 4}
    assert "atoms needs about 1.0 GiB of memory" in next(iter(embedded.refused.values()))
    assert np.isfinite(
        embedded.values["toy"][[row for row in range(len(CRYSTALS)) if row not in embedded.refused]]
    ).all()


def test_dense_crystals_are_refused_by_the_number_of_their_angles() -> None:
    chgnet = pytest.importorskip("moe_mat.encoders.chgnet").CHGNetEncoder()
    dense = Structure(Lattice.cubic(1.1), ["Fe"], [[0] * 3]) * [8, 8, 8]
    with pytest.raises(UnsupportedCrystalError, match=r"512 atoms form about . million angles"):
        prepare_checked(chgnet, dense)


def test_layers_that_are_not_read_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = LocalEnvironmentEncoder()
    features = encoder(encoder.collate([encoder.prepare(crystal) for crystal in CRYSTALS])).crystals

    def fail(*given: object) -> None:
        raise AssertionError("this layer was not asked for")

    monkeypatch.setitem(encoders.OF_SHELLS, "spring", fail)
    monkeypatch.setattr(encoders, "find_symmetry", fail)
    some = encoder.only({"packing", "environment"})
    found = some(some.collate([some.prepare(crystal) for crystal in CRYSTALS])).crystals
    assert found.keys() == {"packing", "environment"}
    for layer, values in found.items():
        np.testing.assert_array_equal(values.numpy(), features[layer].numpy())
    assert some.prepare_key != encoder.prepare_key
    assert encoder.crystal_layers.keys() == features.keys()


@pytest.mark.parametrize("shaken", [0.0, 0.05])
def test_a_cell_of_1728_atoms_is_described(shaken: float) -> None:
    crystal = ROCKSALT * [6, 6, 6]
    if shaken:
        crystal.perturb(shaken)
    assert np.isfinite(LocalEnvironmentEncoder().prepare(crystal)).any()


def test_cells_beyond_all_measure_are_refused_at_once() -> None:
    with pytest.raises(UnsupportedCrystalError, match="13824 atoms, and symmetry is searched for in up to 5000"):
        primitive_cell(ROCKSALT * [12, 12, 12])
    with pytest.raises(UnsupportedCrystalError, match="million families of lattice planes"):
        empty_slabs(neighbour_shells(Structure(Lattice.cubic(400), ["Ar"], [[0, 0, 0]])))
