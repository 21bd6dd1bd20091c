"""What the tests of the cache share."""

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SPACE = "5eed" * 8


def some_arrays(n: int, *, seed: int = 0, width: int = 577) -> dict[bytes, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {rng.bytes(16): rng.normal(size=width).astype(np.float32) for _ in range(n)}


def assert_same(found: dict[bytes, np.ndarray], expected: dict[bytes, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


# Processes are forked: a fresh interpreter would spend these tests' time on importing torch.
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def start(function: Callable[..., None], *arguments: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process  # type: ignore[return-value]
