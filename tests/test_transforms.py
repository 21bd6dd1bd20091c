"""Target transforms: invertible, fitted on what they are given only, and kept in the checkpoint."""

from __future__ import annotations

import io
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_mat.mixture.transforms import TargetTransform, Transform

NAN = float("nan")
KINDS = get_args(Transform)


def targets(n: int = 200) -> torch.Tensor:
    """A Gaussian, a log-normal and a shifted Gaussian column, all positive, with gaps."""
    rng = np.random.default_rng(0)
    columns = [rng.normal(50, 5, n), rng.lognormal(2, 1.5, n), rng.normal(1e4, 10, n)]
    values = torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)
    values[0, 0] = values[3:6, 1] = NAN
    return values


def fitted(kind: Transform, values: torch.Tensor) -> TargetTransform:
    transform = TargetTransform(kind, [f"target{i}" for i in range(values.shape[1])])
    transform.fit(values)
    return transform


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_gives_the_targets_back(kind: Transform) -> None:
    values = targets()
    transform = fitted(kind, values)
    # A logarithm takes what is below a thousandth of the scale for that much: noise around zero has no magnitude.
    expected = torch.where(transform.function == 1, values.clamp_min(1e-3 * transform.median), values)
    torch.testing.assert_close(transform.inverse(transform(values)), expected, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"none"}))
def test_what_the_head_learns_is_of_order_one(kind: Transform) -> None:
    values = targets()
    learned = fitted(kind, values)(values)
    assert (learned.nanmean(0).abs() < 0.5).all()
    spread = np.nanstd(learned.numpy(), axis=0)
    assert ((spread > 0.5) & (spread < 5)).all()


def test_none_leaves_targets_alone() -> None:
    values = targets()
    assert torch.equal(fitted("none", values)(values).nan_to_num(), values.nan_to_num())


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_rows_that_it_is_fitted_on_count(kind: Transform) -> None:
    """Chang et al. fitted over all rows, test targets included."""
    values = targets()
    transform = fitted(kind, values[:100])
    before = {name: buffer.clone() for name, buffer in transform.state_dict().items()}
    transform(values[100:] * 1000)
    transform.inverse(torch.randn(5, 3))
    assert all(torch.equal(buffer, before[name]) for name, buffer in transform.state_dict().items())
    rows = torch.cat([values[:100], torch.full((50, 3), NAN)])  # missing values are no values
    again = fitted(kind, rows[torch.randperm(150, generator=torch.Generator().manual_seed(0))])
    for name, buffer in again.state_dict().items():
        torch.testing.assert_close(buffer, before[name])


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_keeps_the_constants(kind: Transform) -> None:
    transform, file = fitted(kind, targets()), io.BytesIO()
    torch.save(transform.state_dict(), file)
    file.seek(0)
    loaded = TargetTransform(kind, ["a", "b", "c"])
    loaded.load_state_dict(torch.load(file, weights_only=True))
    outputs = torch.randn(5, 3)
    assert torch.equal(loaded.inverse(outputs), transform.inverse(outputs))
    assert torch.equal(loaded.spread, transform.spread)


def test_constants_are_those_of_the_definition() -> None:
    values = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0], [NAN]])
    present = values[:5, 0].double()
    new = torch.tensor([[2.0], [30.0]])
    assert fitted("standardise", values)(new).flatten().tolist() == pytest.approx(
        ((new.flatten().double() - 3) / present.std(correction=0)).tolist(), rel=1e-5
    )
    for kind, function in (("log", torch.log), ("asinh", lambda y: torch.asinh(y / 3))):
        mapped = function(present)
        expected = (function(new.flatten().double()) - mapped.mean()) / mapped.std(correction=0)
        found = fitted(kind, values)(new).flatten()  # type: ignore[arg-type]
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
    kind=st.sampled_from(["none", "standardise", "asinh", "auto"]),
)
def test_any_targets_survive(values: list[float], kind: Transform) -> None:
    column = torch.tensor(values)[:, None]
    transform = fitted(kind, column)
    learned = transform(column)
    assert learned.isfinite().all()
    scale = max(1e-3, max(map(abs, values)))
    torch.testing.assert_close(transform.inverse(learned), column, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("kind", ["standardise", "log", "asinh", "auto"])
@pytest.mark.parametrize("value", [0.3, 7.0, 1e5])
def test_a_constant_target_stays_at_its_value(kind: Transform, value: float) -> None:
    transform = fitted(kind, torch.full((10, 1), value))
    assert (transform(torch.full((3, 1), value)).abs() < 1).all()  # beside other targets it must not fill the loss
    np.testing.assert_allclose(transform.inverse(torch.randn(20, 1)), value, rtol=1e-4)


def test_a_column_of_zeros_has_a_scale() -> None:
    for values in ([0.0, 0.0, 0.0, 8.0], [0.0, 0.0]):
        transform = fitted("asinh", torch.tensor(values)[:, None])
        assert transform(torch.tensor([[0.0], [8.0]])).isfinite().all()


def test_log_of_what_has_no_logarithm_is_refused() -> None:
    values = torch.tensor([[1.0, 1.0], [2.0, -1.0], [3.0, 0.0]])
    with pytest.raises(ValueError, match=r"target 1 has 2 training values that are not positive.*asinh"):
        fitted("log", values)


def test_a_column_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="target 1 has no value"):
        fitted("standardise", torch.tensor([[1.0, NAN], [2.0, NAN]]))


def test_an_unknown_transform_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown transform 'sqrt'; known: .*asinh"):
        TargetTransform("sqrt", ["gap"])  # type: ignore[arg-type]
