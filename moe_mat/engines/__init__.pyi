from .base import Engine, WorkerDiedError, WorkerNeeds, answers
from .choice import ENGINES, start_engine
from .inline import InlineEngine
from .processes import ProcessEngine
from .ray_cluster import RayEngine

__all__ = [
    "ENGINES",
    "Engine",
    "InlineEngine",
    "ProcessEngine",
    "RayEngine",
    "WorkerDiedError",
    "WorkerNeeds",
    "answers",
    "start_engine",
]
