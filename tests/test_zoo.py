"""Experts: frozen whatever happens to them, the same one crystal at a time or many, and easy to add."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals
from torch import Tensor, nn
from toy_experts import cgcnn_expert, network_expert, write_expert

from moe_mat import load_expert
from moe_mat.crystals.errors import CrystalError, UnsupportedCrystalError
from moe_mat.encoders import Encoder, Features, get_encoder
from moe_mat.encoders.registry import ENCODERS, register_encoder
from moe_mat.zoo.card_files import CardError
from moe_mat.zoo.embeddings import embed
from moe_mat.zoo.experts import EncoderExpert, Expert
from moe_mat.zoo.find import find_cards

CRYSTALS = list(reference_crystals().values())


def content(module: nn.Module) -> dict[str, bytes]:
    return {name: values.numpy().tobytes() for name, values in module.state_dict().items()}


# Frozen


@pytest.fixture(params=["cgcnn", "network", "chgnet"])
def expert(request: pytest.FixtureRequest, tmp_path: Path) -> Expert:
    if request.param == "chgnet":
        return load_expert("chgnet_conv1")
    trunk = cgcnn_expert(tmp_path, "trunk")
    return load_expert(
        (trunk if request.param == "cgcnn" else network_expert(tmp_path, "n", trunk=[trunk], sizes=[4])).path
    )


def test_an_expert_in_training_stays_as_it_is(expert: Expert) -> None:
    """Byte for byte, BatchNorm statistics included, inside a model that is trained for a few steps."""
    before, embedding = content(expert), expert.embed(CRYSTALS)
    assert any("running_mean" in name for name in before) or expert.tag == "chgnet_conv1"
    model = nn.ModuleDict({"expert": expert, "head": nn.Linear(expert.dim, 1)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1, momentum=0.9)
    for _ in range(3):
        model.train()
        assert model["head"].training
        assert not any(module.training for module in expert.modules())
        loss = model["head"](torch.from_numpy(expert.embed(CRYSTALS))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.requires_grad_(True).requires_grad_(False)
        model["head"].requires_grad_(True)
    assert content(expert) == before
    assert all(parameter.grad is None for parameter in expert.parameters())
    np.testing.assert_array_equal(expert.embed(CRYSTALS), embedding)


def test_a_forward_pass_in_a_model_that_trains_moves_no_statistics(tmp_path: Path) -> None:
    expert = load_expert(cgcnn_expert(tmp_path, "toy").path)
    assert isinstance(expert, EncoderExpert)
    before = content(expert)
    nn.Sequential(expert, nn.Linear(8, 1)).train()
    encoder = expert.encoder
    out = expert(encoder(encoder.collate([encoder.prepare(crystal) for crystal in CRYSTALS])))
    assert not out.requires_grad
    assert content(expert) == before


# Embedding


@pytest.mark.parametrize("name", ["cgcnn", "network", "two layers"])
def test_batches_of_any_size_give_the_same(name: str, tmp_path: Path) -> None:
    card = cgcnn_expert(tmp_path, "toy")
    if name == "network":
        card = network_expert(tmp_path, "network", trunk=[card, cgcnn_expert(tmp_path, "b", seed=1)], sizes=[6, 4])
    elif name == "two layers":
        card = cgcnn_expert(
            tmp_path, "layers", readout={"layers": ["embedding", "conv1"], "statistics": ["mean", "std"]}
        )
    expert = load_expert(card.path)
    together = expert.embed(CRYSTALS)
    assert together.shape == (len(CRYSTALS), expert.dim)
    assert together.dtype == np.float32
    for size in (1, 5):
        np.testing.assert_allclose(expert.embed(CRYSTALS, batch_size=size), together, rtol=1e-4, atol=1e-6)
    assert expert.embed([]).shape == (0, expert.dim)


def test_ase_atoms_and_structures_are_the_same_crystals(tmp_path: Path) -> None:
    expert = load_expert(cgcnn_expert(tmp_path, "toy").path)
    atoms = [crystal.to_ase_atoms() for crystal in CRYSTALS]
    np.testing.assert_allclose(expert.embed(atoms), expert.embed(CRYSTALS), atol=1e-5)  # type: ignore[arg-type]


def test_a_crystal_that_cannot_be_embedded_is_named(tmp_path: Path) -> None:
    expert = load_expert(cgcnn_expert(tmp_path, "toy").path)
    unknown = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])
    disordered = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(UnsupportedCrystalError, match=r"number 2: element Og \(site 0\)"):
        expert.embed([*CRYSTALS[:2], unknown])
    with pytest.raises(CrystalError, match=r"number 1.*disordered"):
        expert.embed([CRYSTALS[0], disordered])


def test_readout_is_what_the_card_says(tmp_path: Path) -> None:
    layers = {"layers": ["conv2", "embedding"], "statistics": ["std", "mean"], "activation": "softplus"}
    card = cgcnn_expert(tmp_path, "toy", readout=layers)
    expert = load_expert(card.path)
    assert isinstance(expert, EncoderExpert)
    perovskite = CRYSTALS[0]
    with torch.no_grad():
        nodes = expert.encoder(expert.encoder.collate([expert.encoder.prepare(perovskite)])).nodes
    pooled = [
        part for layer in ("conv2", "embedding") for part in (nodes[layer].std(0, correction=0), nodes[layer].mean(0))
    ]
    np.testing.assert_allclose(expert.embed([perovskite])[0], F.softplus(torch.cat(pooled)), rtol=1e-5, atol=1e-5)


def test_a_network_reads_its_trunk(tmp_path: Path) -> None:
    trunk = [cgcnn_expert(tmp_path, tag, seed=seed) for seed, tag in enumerate("ab")]
    card = network_expert(tmp_path, "network", trunk=trunk, sizes=[6, 4])
    expert = load_expert(card.path)
    inputs = torch.from_numpy(np.concatenate([load_expert(c.path).embed(CRYSTALS) for c in trunk], axis=1))
    own = f"networks.{card.digest}."
    state = {name.removeprefix(own): values for name, values in expert.state_dict().items()}
    hidden = ((inputs - state["mean"]) / state["std"]).clamp(-10, 10)
    for layer in ("layers.0", "layers.1"):
        hidden = F.silu(hidden @ state[f"{layer}.weight"].T + state[f"{layer}.bias"])
    np.testing.assert_allclose(expert.embed(CRYSTALS), hidden, rtol=1e-4, atol=1e-5)


# An encoder of one's own, as docs/add-an-expert.md shows it


@pytest.fixture
def toy_encoder() -> Iterator[type[Encoder]]:
    @register_encoder("element_counts")
    class ElementCounts(Encoder):
        """Learned vectors of the elements."""

        def __init__(self, *, width: int) -> None:
            super().__init__()
            self.table = nn.Embedding(100, width)

        @property
        def node_layers(self) -> dict[str, int]:
            return {"elements": self.table.embedding_dim}

        @property
        def crystal_layers(self) -> dict[str, int]:
            return {"volume": 1}

        @property
        def prepare_key(self) -> str:
            return "element_counts"

        def prepare(self, structure: Structure) -> tuple[Tensor, float]:
            if max(structure.atomic_numbers) >= 100:
                raise UnsupportedCrystalError("an element after einsteinium")
            return torch.tensor(structure.atomic_numbers), structure.volume / len(structure)

        def collate(self, samples: list[Any]) -> tuple[Tensor, Tensor, Tensor]:
            numbers, volumes = zip(*samples, strict=True)
            counts = torch.tensor([len(n) for n in numbers])
            index = torch.repeat_interleave(torch.arange(len(numbers)), counts)
            return torch.cat(numbers), index, torch.tensor(volumes)[:, None]

        def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> Features:
            numbers, index, volumes = batch
            return Features({"elements": self.table(numbers)}, index, len(volumes), {"volume": volumes})

    yield ElementCounts
    ENCODERS.classes.pop("element_counts")


def test_an_encoder_of_ones_own_needs_one_class_and_one_card(toy_encoder: type[Encoder], tmp_path: Path) -> None:
    module = toy_encoder(width=3)  # type: ignore[call-arg]
    write_expert(
        tmp_path,
        "mine",
        module,
        encoder="element_counts",
        settings={"width": 3},
        readout={"layers": ["elements", "volume"]},
        dim=4,
    )
    cards = find_cards(str(tmp_path))
    found = load_expert(tmp_path).embed(CRYSTALS)
    table = module.state_dict()["table.weight"].numpy()
    expected = [[*table[list(s.atomic_numbers)].mean(0), s.volume / len(s)] for s in CRYSTALS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    einsteinium = Structure(Lattice.cubic(4), ["Fm"], [[0, 0, 0]])
    embedded = embed([*cards, *find_cards("magpie")], [*CRYSTALS, einsteinium])
    np.testing.assert_allclose(embedded.values["mine"][:-1], expected, rtol=1e-5)
    assert embedded.refused == {len(CRYSTALS): "expert mine: an element after einsteinium"}


def test_encoder_names_are_unique(toy_encoder: type[Encoder]) -> None:
    assert get_encoder("element_counts") is toy_encoder
    get_encoder("chgnet")
    with pytest.raises(ValueError, match="'chgnet' is taken by moe_mat"):
        register_encoder("chgnet")(toy_encoder)
    with pytest.raises(ValueError, match=r"unknown encoder 'element_count'; known: .*chgnet.*add-an-expert"):
        get_encoder("element_count")


def test_an_installed_package_brings_its_encoder(toy_encoder: type[Encoder], monkeypatch: pytest.MonkeyPatch) -> None:
    class EntryPoint:
        name = "from_elsewhere"

        def load(self) -> type[Encoder]:
            return toy_encoder

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [EntryPoint()] if group == "moe_mat.encoders" and name in (None, "from_elsewhere") else []

    monkeypatch.setattr("moe_mat.files.registry.entry_points", entry_points)
    try:
        assert get_encoder("from_elsewhere") is toy_encoder
    finally:
        ENCODERS.classes.pop("from_elsewhere", None)
    with pytest.raises(ValueError, match="from_elsewhere"):
        get_encoder("unknown")


def test_a_folder_with_two_experts_is_not_one_expert(tmp_path: Path) -> None:
    for seed, tag in enumerate("ab"):
        cgcnn_expert(tmp_path, tag, seed=seed)
    with pytest.raises(CardError, match=r"2 experts \(a, b\): name one of them"):
        load_expert(tmp_path)
