"""The published recipe's trainable last convolutions: the expert's own embedding at first, and nothing else moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from strategies import reference_crystals
from toy_experts import cgcnn_expert, network_expert

from moe_mat import load_expert
from moe_mat.mixture.heads.last_convolution import LastConvolutions, PartialBatch, collate_partial, partial_crystals
from moe_mat.zoo.experts import Expert

CRYSTALS = list(reference_crystals().values())


@pytest.fixture
def experts(tmp_path: Path) -> list[Expert]:
    plain = {"layers": ["conv2"]}
    cards = [
        cgcnn_expert(tmp_path, "a"),
        cgcnn_expert(tmp_path, "b", seed=1),
        cgcnn_expert(tmp_path, "c", seed=2, readout=plain),
    ]
    return [load_expert(card.path) for card in cards]


def batch_of(experts: list[Expert]) -> PartialBatch:
    return collate_partial(list(partial_crystals(experts, CRYSTALS)))


def test_before_training_it_is_the_experts_own_embedding(experts: list[Expert]) -> None:
    embeddings = LastConvolutions(experts).eval()(batch_of(experts), range(3))
    for index, expert in enumerate(experts):
        np.testing.assert_allclose(embeddings[index].detach(), expert.embed(CRYSTALS), rtol=1e-5, atol=1e-5)


def test_batches_of_any_crystals_give_the_same(experts: list[Expert]) -> None:
    tail, crystals = LastConvolutions(experts).eval(), list(partial_crystals(experts, CRYSTALS))
    together = tail(collate_partial(crystals), [1])[1]
    order = [5, 0, 7]
    torch.testing.assert_close(tail(collate_partial([crystals[i] for i in order]), [1])[1], together[order])


def test_only_the_chosen_are_computed(experts: list[Expert]) -> None:
    tail, batch = LastConvolutions(experts), batch_of(experts)
    embeddings = tail(batch, [2, 0])
    assert set(embeddings) == {0, 2}
    sum(values.sum() for values in embeddings.values()).backward()
    gradients = [[p.grad is not None for p in convolution.parameters()] for convolution in tail.convolutions]
    assert all(gradients[0])
    assert not any(gradients[1])
    assert all(gradients[2])


def test_training_moves_the_convolutions_and_nothing_else(experts: list[Expert]) -> None:
    tail, batch = LastConvolutions(experts), batch_of(experts)
    of_experts = [{name: v.clone() for name, v in expert.state_dict().items()} for expert in experts]
    nodes = batch.nodes.clone()
    parameters = {name: v.detach().clone() for name, v in tail.named_parameters()}
    statistics = {name: v.clone() for name, v in tail.named_buffers()}
    assert not batch.nodes.requires_grad
    optimizer = torch.optim.Adam(tail.parameters(), lr=5e-3)
    losses = []
    for _ in range(5):
        tail.train()
        optimizer.zero_grad()
        loss = sum((values.mean(1) - 1).square().mean() for values in tail(batch, range(3)).values())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(v, parameters[name]) for name, v in tail.named_parameters())
    running = [name for name in statistics if "running_" in name]
    assert running
    assert all(not torch.equal(dict(tail.named_buffers())[name], statistics[name]) for name in running)
    assert torch.equal(batch.nodes, nodes)
    for expert, before in zip(experts, of_experts, strict=True):
        assert all(torch.equal(v, before[name]) for name, v in expert.state_dict().items())
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in expert.parameters())


def test_a_checkpoint_holds_the_trained_convolutions(experts: list[Expert]) -> None:
    tail, batch = LastConvolutions(experts), batch_of(experts)
    with torch.no_grad():
        for parameter in tail.parameters():
            parameter.add_(0.1)
    tail(batch, range(3))
    loaded = LastConvolutions(experts).eval()
    loaded.load_state_dict(tail.state_dict())
    for index, values in tail.eval()(batch, range(3)).items():
        assert torch.equal(loaded(batch, [index])[index], values)


def test_cached_atoms_are_those_before_the_last_convolution(experts: list[Expert]) -> None:
    for crystal, structure in zip(partial_crystals(experts, CRYSTALS), CRYSTALS, strict=True):
        assert crystal.nodes.shape == (len(structure), 3, 8)
        assert not crystal.nodes.is_inference()  # autograd may save it
        for index, expert in enumerate(experts):
            encoder = expert.encoder  # type: ignore[union-attr]
            with torch.no_grad():
                expected = encoder(encoder.collate([encoder.prepare(structure)])).nodes["conv1"]
            torch.testing.assert_close(crystal.nodes[:, index], expected)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"ties": "order"}, "different neighbour graphs"),
        ({"cutoff": 6.0}, "different neighbour graphs"),
        ({"step": 0.4}, "cannot be fine-tuned together"),
        ({"width": 12}, "different widths"),
    ],
)
def test_experts_that_do_not_go_together_are_refused(
    settings: dict[str, object], problem: str, experts: list[Expert], tmp_path: Path
) -> None:
    other = load_expert(cgcnn_expert(tmp_path, "other", **settings).path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=problem):
        list(partial_crystals([*experts, other], CRYSTALS))


@pytest.mark.parametrize(
    "readout",
    [{"layers": ["conv1"]}, {"layers": ["conv1", "conv2"]}, {"layers": ["conv2"], "statistics": ["mean", "std"]}],
)
def test_experts_that_are_not_the_mean_of_their_last_convolution_are_refused(
    readout: dict[str, list[str]], tmp_path: Path
) -> None:
    expert = load_expert(cgcnn_expert(tmp_path, "toy", readout=readout).path)
    for use in (LastConvolutions, lambda experts: list(partial_crystals(experts, CRYSTALS))):
        with pytest.raises(ValueError, match="expert toy is not the mean of its last convolution"):
            use([expert])


def test_experts_that_are_no_cgcnn_are_refused(tmp_path: Path) -> None:
    network = network_expert(tmp_path, "network", trunk=[cgcnn_expert(tmp_path, "trunk")], sizes=[4])
    for expert in (load_expert("magpie"), load_expert(network.path)):
        with pytest.raises(ValueError, match=f"expert {expert.tag} is not a CGCNN"):
            LastConvolutions([expert])
