"""``moe-mat cache``: list and clear the cache of embeddings."""

from __future__ import annotations

import sys

from moe_mat import zoo


def cache_list() -> None:
    """List what the embedding cache holds."""
    with zoo.EmbeddingCache() as cache:
        sys.stdout.write(f"{cache}\n{cache.spaces().to_string(index=False)}\n")
        for path in cache.outdated():
            size = path.stat().st_size / 1e6
            sys.stdout.write(
                f"{path.name}: {size:.1f} MB of version 0.1, no longer read; moe-mat cache clear removes it\n"
            )


def cache_clear(space: str | None = None) -> None:
    """Empty the embedding cache.

    Args:
        space: Empty only this space, see ``moe-mat cache list``.
    """
    with zoo.EmbeddingCache() as cache:
        sys.stdout.write(f"{cache.clear(space)} embeddings removed\n")
