"""A small run on classes that several tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cli.own_runs import run_folder, small
from moe_mat.cli.main import main
from moe_mat.crystals import load_quickstart
from moe_mat.pages import RunSubject, write_run_page

HOSTILE = '<img src=x onerror="window.hacked=1">'
KINDS = ("soft", "medium", HOSTILE)
N_CRYSTALS = 40


@dataclass(frozen=True)
class ClassRun:
    """A run on three classes, one of a hostile name.

    Attributes:
        run: As its page had it.
        folder: Of the run.
        data: File that was learned from, of the first `N_CRYSTALS` of the quickstart.
    """

    run: RunSubject
    folder: Path
    data: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def class_run(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ClassRun:
    folder = tmp_path_factory.mktemp("classes")
    structures, table = load_quickstart()
    kinds = np.array(KINDS, dtype=object)[np.digitize(table["bulk_modulus"], [40, 120])]
    columns = {"material_id": table["material_id"], "kind": kinds, "structure": [one.as_dict() for one in structures]}
    pd.DataFrame(columns)[:N_CRYSTALS].to_json(folder / "own.json", orient="records")
    runs: list[RunSubject] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MOE_MAT_CACHE", str(shared_cache))
        patch.setattr("moe_mat.pages.write_run_page", lambda run: runs.append(run) or write_run_page(run))
        assert main(["fit", *small(), str(folder / "own.json"), "--target", "kind"]) == 0
    return ClassRun(runs[0], folder / run_folder(), folder / "own.json")
