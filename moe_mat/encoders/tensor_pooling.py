"""Pooling of atom features that turn with the crystal into numbers that do not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TENSOR_STATISTICS = ("norm_of_mean", "mean_of_norms")


def pool_tensors(
    channels: Sequence[Tensor],
    crystal_of_node: Tensor,
    n_crystals: int,
    *,
    statistics: Sequence[str],
    centrosymmetric: Tensor | None = None,
) -> Tensor:
    """Norms of tensor channels, of each crystal.

    For channel t and the atoms i of a crystal, ``norm_of_mean`` is ``|sum_i t_i / n|``, the size of a tensor of the
    whole crystal, and ``mean_of_norms`` is ``sum_i |t_i| / n``. Both are invariant under rotations, and do not change
    when a cell is repeated.

    A tensor of odd degree is odd under inversion, so that of a crystal with an inversion centre is zero, and is made
    so: networks that know rotations alone, and no reflections, leave about a hundredth of an atom's norm there, of
    axial vectors, which such a crystal may have.

    Args:
        channels: For each degree l above 0, ``[n_atoms, multiplicity, 2 l + 1]``, in an orthonormal basis.
        crystal_of_node: Crystal index of each atom ``[n_atoms]``.
        n_crystals: Number of crystals.
        statistics: Any of ``"norm_of_mean"`` and ``"mean_of_norms"``, in the order wanted.
        centrosymmetric: Which crystals have an inversion centre ``[n_crystals]``; none that is known of by default.

    Returns:
        Features ``[n_crystals, len(statistics) * sum of multiplicities]``, in the unit of the channels.
    """
    count = torch.bincount(crystal_of_node, minlength=n_crystals)

    def mean_over_atoms(values: Tensor) -> Tensor:
        total = values.new_zeros(n_crystals, *values.shape[1:]).index_add_(0, crystal_of_node, values)
        return total / count.to(values.dtype).view(-1, *[1] * (values.ndim - 1))

    def norm_of_mean(values: Tensor) -> Tensor:
        norm = mean_over_atoms(values).norm(dim=-1)
        is_odd = values.shape[-1] % 4 == 3  # 2 l + 1 of an odd l
        return norm if centrosymmetric is None or not is_odd else norm.masked_fill(centrosymmetric[:, None], 0.0)

    def mean_of_norms(values: Tensor) -> Tensor:
        return mean_over_atoms(values.norm(dim=-1))

    parts = dict(zip(TENSOR_STATISTICS, (norm_of_mean, mean_of_norms), strict=True))
    return torch.cat([parts[statistic](values) for statistic in statistics for values in channels], dim=1)
