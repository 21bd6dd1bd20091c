"""``moe-mat cache``: list and clear the cache of embeddings."""

from __future__ import annotations

from moe_mat import zoo
from moe_mat.cli.screen import Facts, screen
from moe_mat.files.folders import cache_folder


def cache_list() -> Facts:
    """List what the embedding cache holds."""
    with zoo.EmbeddingCache() as cache:
        spaces = cache.spaces()
        screen.text(f"{cache}\n{spaces.to_string(index=False)}")
        outdated = cache.outdated()
        for path in outdated:
            size = path.stat().st_size / 1e6
            screen.text(f"{path.name}: {size:.1f} MB of version 0.1, no longer read; moe-mat cache clear removes it")
    return {"folder": cache_folder(), "spaces": spaces.to_dict("records"), "outdated": outdated}


def cache_clear(space: str | None = None) -> Facts:
    """Empty the embedding cache.

    Args:
        space: Empty only this space, see ``moe-mat cache list``.
    """
    with zoo.EmbeddingCache() as cache:
        removed = cache.clear(space)
    screen.text(f"{removed} embeddings removed")
    return {"removed": removed}
