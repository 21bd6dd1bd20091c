"""Settings of a mixture are compared by cross-validation, within a budget of minutes.

`Tuning` trains one configuration after the other on the same folds, the given one first; `judge_trials` says
whether any is better by more than the noise over folds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
