"""One version of the package, in a process of its own, embeds whenever it is told to; see `versions`.

Run as a file, with the version first on the path: nothing of this one may be imported. Reads a line of JSON a task from
standard input, and answers each with one.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import resource
import sys
import time
from pathlib import Path
from typing import Any


def _public() -> tuple[Any, Any]:
    """``find_cards`` and ``embed``, where this version has them."""
    try:
        zoo = importlib.import_module("moe_mat.zoo")
        return zoo.find_cards, zoo.embed
    except AttributeError:  # version 0.1
        return importlib.import_module("moe_mat.cards").find_cards, importlib.import_module("moe_mat.embeddings").embed


def main() -> None:
    """Answer until standard input ends."""
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print
    find_cards, embed = _public()
    with contextlib.suppress(AttributeError, ImportError):  # as the command does, in versions that do
        importlib.import_module("moe_mat.files").keep_freed_memory()
    for line in sys.stdin:
        task = json.loads(line)
        crystals = pickle.loads(Path(task["crystals"]).read_bytes())[: task["n"]]
        cards = find_cards(task["experts"])
        done: list[tuple[int, float, float, int]] = []

        def advance(n: int, done: list[tuple[int, float, float, int]] = done) -> None:
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            done.append((n, time.perf_counter(), time.process_time(), faults))

        workers = {} if task["workers"] == 1 else {"workers": task["workers"]}
        values = embed(cards, crystals, advance=advance, **workers).values
        answer = {"experts": len(cards), "done": [one for one in done if one[0]]}
        if task.get("values"):
            Path(task["values"]).write_bytes(pickle.dumps(values))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
