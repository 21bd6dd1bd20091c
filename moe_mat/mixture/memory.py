"""Whether a training fits into memory: asked before anything is embedded, which takes longest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from moe_mat.mixture.batch import AT_ONCE
from moe_mat.mixture.heads.base import get_head
from moe_mat.mixture.heads.choice import settled
from moe_mat.mixture.settings import MixtureSettings
from moe_mat.zoo.cards import ExpertCard

GIB = 2**30
# Python, torch and the experts' networks.
PROGRAM = 0.8 * GIB
# Embeddings are in memory twice, all of them and those that are learned from, but where the head takes them by rows.
COPIES = 2
# Copies of the embeddings of crystals that are predicted at once: scaled, by expert, and mixed by each gate.
SCALED = 8
# Of one of several processes that embed: with cells of up to 54 atoms it was seen to take 0.48 GiB by the tier
# `light`, and 0.65 by `default`.
WORKER = 1.0 * GIB
# Limits of the control group of a container or a job.
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_memory() -> float:
    """Bytes that this machine, or the container or job, has left."""
    left = float(psutil.virtual_memory().available)
    for limit, used in _LIMITS:
        try:
            left = min(left, float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # there is no such group, or it has no limit
            continue
    return left


def needed_memory(head: str, n_rows: int, *, width: int, n_models: int = 1, n_columns: int = 1) -> float:
    """Bytes that a training takes at most.

    Args:
        head: Its name.
        n_rows: Training and validation rows.
        width: Of the experts' embeddings side by side.
        n_models: Mixtures that are trained one after the other, and kept.
        n_columns: What each learns.
    """
    kind = get_head(head)
    copies = 1 if kind.by_rows else COPIES
    crystals = copies * n_rows + SCALED * min(n_rows, AT_ONCE)
    return PROGRAM + 4.0 * crystals * width + kind.memory(n_rows, n_models=n_models, n_columns=n_columns)


def needed_to_embed(n_rows: int, *, width: int, workers: int) -> float:
    """Bytes that embedding takes at most, before anything is trained.

    Args:
        n_rows: Training and validation rows.
        width: Of the experts' embeddings side by side.
        workers: Processes that embed.
    """
    return PROGRAM + 4.0 * n_rows * width + (WORKER * workers if workers > 1 else 0.0)


def affordable(
    settings: MixtureSettings,
    cards: Sequence[ExpertCard],
    *,
    n_rows: int,
    n_models: int = 1,
    n_processes: int = 1,
    workers: int = 1,
) -> MixtureSettings:
    """Settings that name the head that suits the number of rows, if a training with it fits into memory.

    Args:
        settings: Of the mixture.
        cards: Of the experts.
        n_rows: Training and validation rows.
        n_models: Mixtures that are trained one after the other, and kept.
        n_processes: That do so at a time.
        workers: Processes that embed, before that.

    Raises:
        ValueError: When it does not fit; says what it needs, and what would.
    """
    width, free = sum(card.dim for card in cards), available_memory()
    settings, available = settled(settings, n_rows=n_rows), free / n_processes

    def needs(head: str, n: int = n_rows) -> float:
        return needed_memory(head, n, width=width, n_models=n_models, n_columns=settings.n_columns)

    if needs(settings.head) <= available:
        if workers > 1 and (to_embed := needed_to_embed(n_rows, width=width, workers=workers)) > free:
            raise ValueError(
                f"embedding by {workers} workers needs about {_gib(to_embed)} of memory for {n_rows} rows, and "
                f"{_gib(free)} are free: take fewer workers (n_jobs, --data.workers)"
            )
        return settings
    remedies = []
    if settings.head == "kernel" and needs("inducing") <= available:
        remedies.append(f"take the head inducing, which needs {_gib(needs('inducing'))}")
    fitting = _most_rows(lambda n: needs(settings.head, n) <= available, n_rows)
    if fitting:
        remedies.append(f"learn from {fitting} rows")
    if n_processes > 1:
        remedies.append("take fewer workers")
    if 4.0 * n_rows * width > available / 4:
        remedies.append("take fewer experts")
    share = " for each worker" if n_processes > 1 else ""
    raise ValueError(
        f"head {settings.head} needs about {_gib(needs(settings.head))} of memory for {n_rows} rows, and "
        f"{_gib(available)} are free{share}: {', or '.join(remedies) or 'free some memory'}"
    )


def _most_rows(fits: Callable[[int], bool], n_rows: int) -> int:
    """About the largest number of rows that fit, to two digits; 0 where hardly any do."""
    low, high = 0, n_rows
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    unit = 10 ** max(0, math.floor(math.log10(max(low, 1))) - 1)
    return low // unit * unit


def _gib(size: float) -> str:
    return f"{max(size, 0) / GIB:.1f} GiB"
