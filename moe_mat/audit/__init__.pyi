from .estimating import estimate
from .exposure import Exposure, TrainingSet, UnlistedSet, exposure_of, group
from .matching import FLAGS, LEFT, Matches, Overlap, match, rows_left
from .quantities import determines, find_quantity, is_related, quantity_of
from .report import AuditReport, Errors

__all__ = [
    "FLAGS",
    "LEFT",
    "AuditReport",
    "Errors",
    "Exposure",
    "Matches",
    "Overlap",
    "TrainingSet",
    "UnlistedSet",
    "determines",
    "estimate",
    "exposure_of",
    "find_quantity",
    "group",
    "is_related",
    "match",
    "quantity_of",
    "rows_left",
]
