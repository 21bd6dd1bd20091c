from .comparison import Comparison, Difference, compare, judge_trials
from .space import SearchSpace
from .trials import Trial
from .tuning import Tuning
from .usual import usual_values

__all__ = ["Comparison", "Difference", "SearchSpace", "Trial", "Tuning", "compare", "judge_trials", "usual_values"]
