"""What a classifier says of what to measure next."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from moe_mat.crystals.given import Crystals
from moe_mat.mixture.settings import DEFAULT_LEVEL
from moe_mat.suggest.choice import Wanted
from moe_mat.suggest.constraints import Constraints
from moe_mat.suggest.estimators import SuggestsCrystals
from moe_mat.suggest.goals import Goal
from moe_mat.suggest.settings import Batching, ChoiceSettings


class SuggestingClassifier(SuggestsCrystals):
    """A classifier of crystals that keeps those of its training."""

    def suggest(
        self,
        X: Crystals,
        n: int = ChoiceSettings.n,
        goal: str = "uncertainty",
        *,
        batch: Batching = ChoiceSettings.batch,
        without: str | Sequence[str] | None = None,
        max_atoms: int | None = None,
    ) -> pd.DataFrame:
        """Say which of some candidates to measure next.

        Crystals of the training are not suggested, in whatever cell they come; nor is a candidate twice.

        Args:
            X: Candidates, as in `predict` ``[m]``.
            n: How many are wanted; fewer come when fewer may be suggested.
            goal: ``uncertainty``, of which class a crystal is being known least, or ``class=NAME``, the most probable
                members of a class, by the text of its label.
            batch: See `moe_mat.suggest.ChoiceSettings`, as for the next two.
            without: Elements that are not wanted, as ``"Pb,Cd"`` or a list.
            max_atoms: Most atoms in a cell as given.

        Returns:
            A row a suggestion: ``rank``; ``row``, its position in ``X``; ``formula``; ``predicted``, the class, and
            the probability of each (``p_NAME``); ``percentile`` and ``outside`` as in `domain`; ``acquisition``, what
            it was chosen by. ``attrs`` are those of `moe_mat.MoERegressor.suggest`.

        Raises:
            CrystalError: When a candidate cannot be used; names its position.
            ValueError: When the goal, a setting or an element cannot be used; names it.
        """
        check_is_fitted(self)
        wanted = Wanted(Goal.parse(goal), n, ChoiceSettings.acquisition, batch)
        wanted.goal.check(str(self.members_[0].hparams["targets"][0]), self.members_.classes)
        return self._suggested(X, wanted, Constraints.parse(without, max_atoms), column=0, level=DEFAULT_LEVEL)
