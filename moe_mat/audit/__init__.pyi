from .exposure import Exposure, TrainingSet, exposure_of, group
from .matching import FLAGS, Matches, Overlap, match, rows_left
from .quantities import determines, find_quantity, quantity_of
from .report import AuditReport, Errors

__all__ = [
    "FLAGS",
    "AuditReport",
    "Errors",
    "Exposure",
    "Matches",
    "Overlap",
    "TrainingSet",
    "determines",
    "exposure_of",
    "find_quantity",
    "group",
    "match",
    "quantity_of",
    "rows_left",
]
