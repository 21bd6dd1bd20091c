from .account import Explanation
from .estimators import ExplainsCrystals
from .explainer import Explainer
from .files import files_of, to_dict, write_explanation
from .for_people import shown
from .seen import Seen, seen_by_experts
from .source_predictions import source_predictions

__all__ = [
    "Explainer",
    "ExplainsCrystals",
    "Explanation",
    "Seen",
    "files_of",
    "seen_by_experts",
    "shown",
    "source_predictions",
    "to_dict",
    "write_explanation",
]
