from .choice import Wanted, choose
from .classifier import SuggestingClassifier
from .constraints import Constraints
from .goals import Goal
from .measured import Measured
from .regressor import SuggestingRegressor
from .screening import Screening
from .settings import Acquisition, Batching, ChoiceSettings

__all__ = [
    "Acquisition",
    "Batching",
    "ChoiceSettings",
    "Constraints",
    "Goal",
    "Measured",
    "Screening",
    "SuggestingClassifier",
    "SuggestingRegressor",
    "Wanted",
    "choose",
]
