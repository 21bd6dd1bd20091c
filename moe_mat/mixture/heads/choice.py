"""Which head ``auto`` stands for."""

from __future__ import annotations

import math
from dataclasses import replace

from moe_mat.mixture.settings import MixtureSettings

AUTO = "auto"
# Training and validation rows up to which the exact kernel is affordable, and better.
EXACT_ROWS = 10_000
# The same for any number of columns, which cost as much each.
EXACT_ROWS_OF_ALL = 6000


def settled(settings: MixtureSettings, *, n_rows: int = 0) -> MixtureSettings:
    """Settings that name their head.

    Args:
        settings: Of a mixture.
        n_rows: Training and validation rows; where they are not known, there are few.

    Example:
        >>> settled(MixtureSettings()).head, settled(MixtureSettings(), n_rows=20_000).head
        ('kernel', 'inducing')
    """
    if settings.head != AUTO:
        return settings
    exact_rows = max(EXACT_ROWS_OF_ALL, EXACT_ROWS / math.sqrt(settings.n_columns))
    return replace(settings, head="kernel" if n_rows <= exact_rows else "inducing")
