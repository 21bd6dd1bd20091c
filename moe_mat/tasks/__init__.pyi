from .build import build_table, build_task, fetch_sources
from .cards import Matbench, Published, TaskCard, TaskCards, read_task_card
from .evidence import Evidence
from .prepared import Origin, prepared_path, read_origin
from .recipe import TRANSFORMS, Join, TaskRecipe
from .splits import N_SPLITS, TaskDataError, matbench_folds, splits_digest
from .status import TaskStatus, describe_task
from .task import Task, read_task

__all__ = [
    "N_SPLITS",
    "TRANSFORMS",
    "Evidence",
    "Join",
    "Matbench",
    "Origin",
    "Published",
    "Task",
    "TaskCard",
    "TaskCards",
    "TaskDataError",
    "TaskRecipe",
    "TaskStatus",
    "build_table",
    "build_task",
    "describe_task",
    "fetch_sources",
    "matbench_folds",
    "prepared_path",
    "read_origin",
    "read_task",
    "read_task_card",
    "splits_digest",
]
