"""Gates: weights that sum to 1, exact zeros outside the top k with a way back, and the published penalties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_mat.mixture.gate import CrystalGate, Gate, build_gate, imbalance, mix, orthogonality, top_k_softmax

EXPERTS, WIDTH, BATCH = 6, 5, 4


def projected(seed: int = 0) -> torch.Tensor:
    return torch.randn(BATCH, EXPERTS, WIDTH, generator=torch.Generator().manual_seed(seed))


@given(
    logits=st.lists(st.floats(-50, 50), min_size=1, max_size=8),
    top_k=st.none() | st.integers(1, 9),
    temperature=st.floats(0.1, 10),
)
def test_weights_are_a_softmax_over_the_top_k(logits: list[float], top_k: int | None, temperature: float) -> None:
    values = torch.tensor(logits, dtype=torch.double)
    weights = top_k_softmax(values, top_k=top_k, temperature=temperature)
    k = min(top_k or len(logits), len(logits))
    assert (weights >= 0).all()
    assert weights.sum().item() == pytest.approx(1)
    assert (weights > 0).sum() <= k
    largest = values.topk(k)
    torch.testing.assert_close(weights[largest.indices], (largest.values / temperature).softmax(-1))


@pytest.mark.parametrize("kind", ["global", "crystal"])
@pytest.mark.parametrize("n_gates", [1, 3])
@pytest.mark.parametrize("top_k", [None, 1, 2, 100])
def test_gates_give_weights_and_gradients(kind: str, n_gates: int, top_k: int | None) -> None:
    torch.manual_seed(0)
    gate = build_gate(kind, EXPERTS, WIDTH, n_gates=n_gates, top_k=top_k)
    if isinstance(gate, CrystalGate):
        torch.nn.init.normal_(gate.of_crystal.weight)
    weights = gate(projected())
    assert weights.shape == (BATCH, n_gates, EXPERTS)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, n_gates))
    assert ((weights == 0).sum(-1) == max(0, EXPERTS - (top_k or EXPERTS))).all()  # zero exactly, not nearly
    (weights * torch.arange(EXPERTS)).sum().backward()
    for parameter in gate.parameters():
        assert parameter.grad is not None
        assert (parameter.grad.abs() > 0).all()


def test_an_expert_outside_the_top_k_can_come_back() -> None:
    """In the published code it never gets a gradient, and the first random choice is for ever."""
    gate = Gate(3, top_k=1)
    gate.logits.data = torch.tensor([[1.0, 0.0, 0.0]])
    target = torch.tensor([0.0, 0.0, 1.0])
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        (gate(torch.zeros(1, 3, 1)) - target).square().sum().backward()
        optimizer.step()
    assert gate(torch.zeros(1, 3, 1)).flatten().tolist() == [0, 0, 1]
    assert gate.chosen() == [2]


def test_values_are_the_same_with_and_without_gradients() -> None:
    gate = Gate(EXPERTS, n_gates=2, top_k=3)
    with torch.no_grad():
        expected = gate(projected())
    torch.testing.assert_close(gate(projected()).detach(), expected)


def test_a_new_crystal_gate_is_a_global_gate() -> None:
    torch.manual_seed(0)
    gate = CrystalGate(EXPERTS, WIDTH, n_gates=2)
    weights = gate(projected())
    torch.testing.assert_close(weights, gate.logits.softmax(-1).expand(BATCH, -1, -1))
    torch.nn.init.normal_(gate.of_crystal.weight)
    assert not torch.allclose(gate(projected())[0], gate(projected())[1])


def test_first_choice_of_a_new_gate_is_not_the_order_of_the_experts() -> None:
    chosen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        chosen.add(tuple(Gate(EXPERTS, top_k=2).chosen()))
    assert len(chosen) > 5


def test_chosen_experts_are_those_with_a_weight() -> None:
    torch.manual_seed(0)
    gate = Gate(EXPERTS, n_gates=2, top_k=2)
    assert gate.chosen() == gate(projected())[0].sum(0).nonzero().flatten().tolist()
    assert Gate(EXPERTS, top_k=100).chosen() == Gate(EXPERTS).chosen() == list(range(EXPERTS))
    assert CrystalGate(EXPERTS, WIDTH, top_k=1).chosen() == list(range(EXPERTS))


def test_temperature_makes_weights_even_or_decided() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    even, plain, decided = (top_k_softmax(logits, temperature=t).max().item() for t in (10, 1, 0.1))
    assert 1 / 3 < even < plain < decided <= 1


@pytest.mark.parametrize("kind", ["global", "crystal"])
@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
    ],
)
def test_settings_without_a_meaning_are_refused(kind: str, settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        build_gate(kind, EXPERTS, WIDTH, **settings)  # type: ignore[arg-type]


def test_an_unknown_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown gate 'sparse'; known: global, crystal"):
        build_gate("sparse", EXPERTS, WIDTH)


# Penalties


def test_orthogonality_is_the_published_formula() -> None:
    weights = torch.rand(7, 3, EXPERTS, dtype=torch.double).softmax(-1)
    expected = 0.0
    for of_crystal in weights:
        S = of_crystal.T  # [experts, gates], as in the paper
        expected += torch.linalg.matrix_norm(S.T @ S - torch.eye(3)).item() ** 2 / 7
    assert orthogonality(weights).item() == pytest.approx(expected)


def test_orthogonality_is_zero_for_gates_that_each_choose_one_expert_of_their_own() -> None:
    assert orthogonality(torch.eye(EXPERTS)[:3]).item() == 0
    assert orthogonality(torch.eye(EXPERTS)[[0, 0]]).item() == 2


def test_imbalance_is_the_squared_coefficient_of_variation() -> None:
    weights = torch.rand(9, 2, EXPERTS).softmax(-1)
    use = weights.numpy().mean((0, 1))
    assert imbalance(weights).item() == pytest.approx((use.std() / use.mean()) ** 2, rel=1e-4)
    assert imbalance(torch.full((4, 1, EXPERTS), 1 / EXPERTS)).item() == pytest.approx(0, abs=1e-9)
    specialists = torch.eye(EXPERTS)[:, None]  # each crystal has an expert of its own: all are used alike
    assert imbalance(specialists).item() == pytest.approx(0, abs=1e-9)
    assert imbalance(torch.eye(EXPERTS)[[0] * 4][:, None]).item() == pytest.approx(EXPERTS - 1)


def test_load_balance_moves_a_gate_towards_even_use() -> None:
    torch.manual_seed(0)
    gate = Gate(EXPERTS)
    gate.logits.data = torch.randn(1, EXPERTS)
    before, optimizer = imbalance(gate(projected())).item(), torch.optim.Adam(gate.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        imbalance(gate(projected())).backward()
        optimizer.step()
    assert imbalance(gate(projected())).item() < 0.01 * before


def test_mixture_is_the_weighted_sum() -> None:
    weights, values = torch.rand(BATCH, 2, EXPERTS).softmax(-1), projected()
    expected = torch.stack(
        [
            torch.cat([sum(w * v for w, v in zip(gate, values[i], strict=True)) for gate in weights[i]])
            for i in range(BATCH)
        ]
    )
    torch.testing.assert_close(mix(weights, values), expected)
