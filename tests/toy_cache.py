"""What the tests of the cache share."""

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_mat.zoo.pooled_layers import Block, PooledLayers, layout_of

SPACE = "5eed" * 8


def row_of(values: Any, layer: str = "conv1") -> PooledLayers:
    """A row that has one layer."""
    array = np.asarray(values)
    return PooledLayers(layout_of((Block(layer, "mean", "none", array.size),)), array)


def some_rows(n: int, *, seed: int = 0, width: int = 577, layer: str = "conv1") -> dict[bytes, PooledLayers]:
    rng = np.random.default_rng(seed)
    return {rng.bytes(16): row_of(rng.normal(size=width).astype(np.float32), layer) for _ in range(n)}


def assert_same(found: dict[bytes, PooledLayers], expected: dict[bytes, PooledLayers]) -> None:
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key].layout is row.layout
        np.testing.assert_array_equal(found[key].values, row.values)


# Processes are forked: a fresh interpreter would spend these tests' time on importing torch.
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def start(function: Callable[..., None], *arguments: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process  # type: ignore[return-value]
