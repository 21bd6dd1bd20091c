from .data import (
    N_SPLITS,
    TaskData,
    describe_task,
    fetch_sources,
    find_task_cards,
    read_task_card,
    read_test_rows,
    seeded_splits,
)
from .recipes import TRANSFORMS, Evidence, Recipe, prepare, read_origin

__all__ = [
    "N_SPLITS",
    "TRANSFORMS",
    "Evidence",
    "Recipe",
    "TaskData",
    "describe_task",
    "fetch_sources",
    "find_task_cards",
    "prepare",
    "read_origin",
    "read_task_card",
    "read_test_rows",
    "seeded_splits",
]
