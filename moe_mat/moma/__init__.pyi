from .amc import amc_weights, loo_knn_predictions
from .composition import Composition, compose, compose_embedded
from .merging import MergeError, check_mergeable, merge, write_merged
from .settings import CompositionSettings

__all__ = [
    "Composition",
    "CompositionSettings",
    "MergeError",
    "amc_weights",
    "check_mergeable",
    "compose",
    "compose_embedded",
    "loo_knn_predictions",
    "merge",
    "write_merged",
]
