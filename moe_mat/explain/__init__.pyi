from .account import Explanation
from .estimators import ExplainsCrystals
from .explainer import Explainer
from .files import files_of, to_dict, write_explanation
from .for_people import shown
from .networks import source_predictions
from .seen import Seen, seen_by_experts

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
