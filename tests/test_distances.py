"""Distances of crystals from each other, of which each is computed once."""

from __future__ import annotations

import pytest
import torch

from moe_mat.mixture import distances
from moe_mat.mixture.heads.descriptor_kernel import city_block


@pytest.mark.parametrize("n", [1, 7, 8, 9, 30])
def test_pairs_that_are_compared_once_say_what_all_pairs_say(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK", 8)
    rows = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    rows[n // 2] = rows[0]
    all_pairs = distances.squared_distances(rows, rows.clone())  # as of two sets of crystals
    torch.testing.assert_close(distances.squared_distances(rows, rows), all_pairs)
    torch.testing.assert_close(distances.of_pairs(city_block, rows, rows), torch.cdist(rows, rows, p=1))
    others = all_pairs.masked_fill(torch.eye(n, dtype=torch.bool), torch.inf)
    torch.testing.assert_close(distances.nearest_other(rows), others.min(1).values.sqrt())


def test_each_pair_of_blocks_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK", 2)
    sizes = []

    def compare(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        sizes.append((len(a), len(b)))
        return a @ b.T

    distances.of_pairs(compare, rows := torch.eye(5), rows)
    assert sizes == [(2, 2), (2, 2), (2, 1), (2, 2), (2, 1), (1, 1)]
