from .embedding import Embedder, Embedding
from .inputs import Inputs
from .manifest import write_manifest
from .parts import PartRecord, finished_part, parquet_writer, part_path
from .plan import Plan, agreed_plan
from .prediction import Prediction
from .runs import PartsFailedError, PartTask, compute_parts
from .work import Maker, Work

__all__ = [
    "Embedder",
    "Embedding",
    "Inputs",
    "Maker",
    "PartRecord",
    "PartTask",
    "PartsFailedError",
    "Plan",
    "Prediction",
    "Work",
    "agreed_plan",
    "compute_parts",
    "finished_part",
    "parquet_writer",
    "part_path",
    "write_manifest",
]
