"""Fixtures of files whose tests share a cache: each crystal is embedded once, as for a user. They are imported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache_folder() -> None:
    """In place of the empty cache that every other test gets."""
