"""What all tests share: a cache of their own, and hypothesis without a stopwatch."""

from pathlib import Path

import hypothesis
import pytest

# Examples are few and deadlines off: on a busy machine a slow example is no defect.
hypothesis.settings.register_profile("moe_mat", deadline=None, max_examples=30)
hypothesis.settings.load_profile("moe_mat")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that no test reads or fills the user's."""
    folder = tmp_path_factory.mktemp("moe_mat_cache")
    monkeypatch.setenv("MOE_MAT_CACHE", str(folder))
    return folder
