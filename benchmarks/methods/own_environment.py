"""Peers that have an environment of their own: what a card of the kind ``own_environment`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.methods.problem import Outcome, Problem
from benchmarks.peers.exchange import ask, rows_of


def own_environment(
    problem: Problem, experts: Sequence[str], settings: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]] = ()
) -> Outcome:
    """Hand the problem to a peer in a process of its environment, and take its answer.

    Settings: ``peer``, its name; the others are the peer's.

    Raises:
        FileNotFoundError: the peer has no environment; the message says how to make it.
    """
    options = dict(settings)
    peer = options.pop("peer")
    rows = rows_of(
        {
            "train": (list(problem.train[0]), problem.train[1]),
            "val": (list(problem.val[0]), problem.val[1]),
            "test": (list(problem.test), None),
        }
    )
    options |= {"seed": problem.seed, "candidates": list(candidates)}
    answer = ask(peer, rows, options)
    return Outcome(
        val_mae=answer["val_mae"],
        predictions=np.asarray(answer["predictions"]),
        std=np.asarray(answer["std"]),
        chosen=answer["chosen"],
        tried=answer["tried"],
        environment=answer["versions"],
    )
