"""What a regressor says of what to measure next."""

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
from moe_mat.suggest.settings import Acquisition, Batching, ChoiceSettings


class SuggestingRegressor(SuggestsCrystals):
    """A regressor of crystals that keeps those of its training, with their values."""

    _targets: list[str]

    def suggest(
        self,
        X: Crystals,
        n: int = ChoiceSettings.n,
        goal: str = "max",
        *,
        acquisition: Acquisition = ChoiceSettings.acquisition,
        batch: Batching = ChoiceSettings.batch,
        without: str | Sequence[str] | None = None,
        max_atoms: int | None = None,
        target: str | None = None,
        interval: float = DEFAULT_LEVEL,
    ) -> pd.DataFrame:
        """Say which of some candidates to measure next.

        Crystals of the training are not suggested, in whatever cell they come; nor is a candidate twice.

        Args:
            X: Candidates, as in `predict` ``[m]``.
            n: How many are wanted; fewer come when fewer may be suggested.
            goal: ``max``, ``min``, ``target=1.5`` (in the target's unit) or ``uncertainty``.
            acquisition: See `moe_mat.suggest.ChoiceSettings`, as for the next three.
            batch: Whether they are to differ.
            without: Elements that are not wanted, as ``"Pb,Cd"`` or a list.
            max_atoms: Most atoms in a cell as given.
            target: Which of several targets.
            interval: Share of new crystals whose value lies between ``lower`` and ``upper``.

        Returns:
            A row a suggestion: ``rank``; ``row``, its position in ``X``; ``formula``; ``predicted``, ``std``, ``lower``
            and ``upper`` in the target's unit; ``percentile`` and ``outside`` as in `domain`; ``acquisition``, what it
            was chosen by. ``attrs`` says how many candidates were ``considered``, which rows are ``known`` already, and
            how many were ``excluded`` for which reason.

        Raises:
            CrystalError: When a candidate cannot be used; names its position.
            ValueError: When the goal, a setting or an element cannot be used; names it.
        """
        check_is_fitted(self)
        column, wanted = self._column(target), Wanted(Goal.parse(goal), n, acquisition, batch)
        wanted.goal.check(self._targets[column], None)
        constraints = Constraints.parse(without, max_atoms)
        return self._suggested(X, wanted, constraints, column=column, level=interval)

    def _column(self, target: str | None) -> int:
        if target is None and len(self._targets) == 1:
            return 0
        if target not in self._targets:
            raise ValueError(f"target is {target!r}: use one of {', '.join(self._targets)}")
        return self._targets.index(target)
