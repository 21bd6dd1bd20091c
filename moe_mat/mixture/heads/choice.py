"""Which head ``auto`` stands for."""

from __future__ import annotations

from dataclasses import replace

from moe_mat.mixture.settings import MixtureSettings

AUTO = "auto"
# Training and validation rows up to which the exact kernel is affordable, and better.
EXACT_ROWS = 6000


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
    return replace(settings, head="kernel" if n_rows <= EXACT_ROWS else "inducing")
