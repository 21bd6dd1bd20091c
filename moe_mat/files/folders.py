"""Where moe_mat keeps what it computes, downloads or prepares once."""

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "MOE_MAT_CACHE"
DATA_VARIABLE = "MOE_MAT_DATA"


def cache_folder() -> Path:
    """The folder of cached embeddings and downloads: ``MOE_MAT_CACHE``, else the platform's user cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("moe_mat"))


def data_folder() -> Path:
    """The folder of prepared benchmark data: ``MOE_MAT_DATA``, else ``data`` in the cache folder."""
    chosen = os.environ.get(DATA_VARIABLE)
    return Path(chosen).expanduser() if chosen else cache_folder() / "data"


def task_cards_folder() -> Path:
    """The folder of the benchmark's task cards."""
    return _installed("task_cards", "benchmarks/tasks")


def configs_folder() -> Path:
    """The folder of the configurations of ``fit`` that come with the package."""
    return _installed("configs", "configs")


def _installed(name: str, checkout: str) -> Path:
    """A folder in the installed package, or in a checkout beside it."""
    package = Path(__file__).parent.parent
    return package / name if (package / name).is_dir() else package.parent / checkout
