"""All cells of some methods from an empty cache, as a reviewer would compute them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cells.results import AUDITS, RESULTS
from benchmarks.measurements.tools import say
from moe_mat.files import CACHE_VARIABLE, DATA_VARIABLE, commit, data_folder

COMMITTED = Path("benchmarks", "results")


def cold_sweep(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a whole sweep from an empty cache, of this version or of another one, and how cells differ.

    Audits are those that are committed: they are made once and not by every sweep.
    """
    checkout = (options.against or RESULTS.parents[1]).resolve()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        place = Path(name)
        shutil.copytree(checkout / COMMITTED / AUDITS, place / "results" / AUDITS)
        environment = {**os.environ, CACHE_VARIABLE: str(place / "cache")}
        environment[DATA_VARIABLE] = str((options.data or data_folder()).resolve())
        command = [options.python, "-m", "benchmarks.sweep", "--tasks", *options.tasks, "--methods", *options.methods]
        command += ["--workers", str(options.workers), "--output", str(place / "results")]
        say(" ".join(command[1:]))
        start = time.perf_counter()
        ended = subprocess.run(command, cwd=checkout, env=environment, check=False)
        seconds = time.perf_counter() - start
        cells = [path for method in options.methods for path in sorted((place / "results" / method).glob("*.json"))]
        results = {path: json.loads(path.read_text()) for path in cells}
        finished = {path: one for path, one in results.items() if one["status"] == "finished"}
        committed = {path: checkout / COMMITTED / path.parent.name / path.name for path in finished}
        return {
            "version": options.against_name if options.against else "this",
            "checkout": commit(checkout),
            "methods": options.methods,
            "tasks": options.tasks,
            "workers": options.workers,
            "status": ended.returncode,
            "cells": len(finished),
            "failed": len(results) - len(finished),
            "seconds": round(seconds, 1),
            "seconds_of_cells": round(sum(one["seconds"] for one in finished.values()), 1),
            "against_committed": _differences(
                [(finished[path], json.loads(there.read_text())) for path, there in committed.items() if there.exists()]
            ),
        }


def _differences(pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Of test MAEs from those of the committed cells, relative."""
    changes = [abs(one["test_mae"] / other["test_mae"] - 1) for one, other in pairs]
    if not changes:
        return {"cells": 0}
    return {
        "cells": len(changes),
        "equal": sum(change == 0 for change in changes),
        "mean": sum(changes) / len(changes),
        "largest": max(changes),
    }
