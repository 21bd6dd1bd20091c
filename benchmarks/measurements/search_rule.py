"""How often the rule of ``moe-mat tune`` names a configuration, by simulation."""

from __future__ import annotations

import sys

import numpy as np

from moe_mat.tune import judge_trials

N_SEARCHES = 4000
GAINS = (0.0, 1.0, 2.0, 4.0)


def named(n_others: int, n_folds: int, gain: float, *, seed: int = 0) -> float:
    """Share of searches in which a configuration is named; where one is truly better, in which it is that one.

    Args:
        n_others: Configurations that are compared with the defaults.
        n_folds: Of the cross-validation.
        gain: By which one of them is better, in standard deviations of a difference on a fold.
        seed: Of the noise.
    """
    random, shared, hits = np.random.default_rng(seed), 1 / n_folds, 0
    for _ in range(N_SEARCHES):
        noise = np.sqrt(shared) * random.normal(size=(n_others + 1, 1))
        scores = 10 + noise + np.sqrt(1 - shared) * random.normal(size=(n_others + 1, n_folds))
        scores[0] = 10
        scores[1] -= gain
        found = judge_trials(scores, test_share=1 / (n_folds - 1))
        hits += found.wins and (not gain or found.best == 1)
    return hits / N_SEARCHES


def main() -> int:
    """Print the table of docs/tune.md."""
    print("| configurations, folds | named where none is better | better by 1 | by 2 | by 4 |")
    print("|---|---:|---:|---:|---:|")
    for n_others in (4, 20):
        for n_folds in (5, 10):
            shares = [f"{100 * named(n_others, n_folds, gain):.0f} %" for gain in GAINS]
            print(f"| {n_others}, {n_folds} | {' | '.join(shares)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
