"""Peers in environments of their own: rows go there, answers come back, and what goes wrong is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from toy_benchmark import TASKS, toy_sweep, write_method

from benchmarks.cells.results import read_result
from benchmarks.methods.cards import learned_from, load_method
from benchmarks.methods.own_environment import own_environment
from benchmarks.methods.problem import Problem
from benchmarks.peers import environments, exchange

# Of the user: tests have another cache folder.
USERS = environments.folder_of("modnet").parents[1]
# Learns the mean volume per atom of the rows it may learn from, and would fail on a test target that it can see.
STUB = """
import json, sys
from pathlib import Path
import numpy as np, pandas as pd
assert sys.stdin.read() == ""
folder, kept = Path(sys.argv[1]), Path(sys.argv[2])
settings = json.loads((folder / "settings.json").read_text())
rows = pd.read_parquet(folder / "rows.parquet")
test = rows["part"] == "test"
assert rows.loc[test, "target"].isna().all() and rows.loc[~test, "target"].notna().all()
volumes = [abs(np.linalg.det(np.stack(m))) / len(s) for m, s in zip(rows["lattice_vectors"], rows["species_at_sites"])]
slope = (rows["target"] / volumes)[~test].mean() * settings["factor"]
kept.with_name("seen.json").write_text(json.dumps([rows["key"].tolist(), rows["part"].tolist(), settings]))
if settings["factor"] < 0:
    raise SystemExit("no factor below zero")
predictions = (slope * np.asarray(volumes))[test]
answer = {"predictions": list(predictions), "std": [0.0] * len(predictions), "val_mae": 0.5, "tried": []}
(folder / "answer.json").write_text(json.dumps({**answer, "chosen": {"slope": slope}, "versions": {"stub": "1"}}))
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A peer whose environment is this one; the folder where it keeps what it saw."""
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(exchange, "PEERS", tmp_path / "peers")
    (tmp_path / "peers" / "stub").mkdir(parents=True)
    (tmp_path / "peers" / "stub" / "fit.py").write_text(STUB)
    python = environments.folder_of("stub") / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return environments.folder_of("stub")


def cubes(*lengths: float) -> list[Structure]:
    return [Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for a in lengths]


def problem() -> Problem:
    train, val, test = cubes(3, 4, 5), cubes(3.5), cubes(6, 3)
    return Problem((train, np.array([27.0, 64.0, 125.0])), (val, np.array([3.5**3])), test, seed=7)


def test_a_problem_gets_there_and_its_answer_back(stub: Path) -> None:
    outcome = own_environment(problem(), (), {"peer": "stub", "factor": 2}, [{"rate": 0.1}])
    np.testing.assert_allclose(outcome.predictions, [2 * 216, 2 * 27])
    assert (outcome.val_mae, outcome.environment) == (0.5, {"stub": "1"})
    keys, parts, settings = json.loads((stub / "seen.json").read_text())
    assert parts == ["train"] * 3 + ["val"] + ["test"] * 2
    assert keys[0] == keys[-1] != keys[1]  # the same crystal has the same features
    assert settings == {"factor": 2, "seed": 7, "candidates": [{"rate": 0.1}]}


def test_a_cell_notes_the_versions_of_the_peer_s_environment(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = write_method(tmp_path, "mine", kind="own_environment", settings={"peer": "stub", "factor": 1})
    assert toy_sweep(tmp_path, monkeypatch)("--methods", card, "--tasks", TASKS[1], "--splits", "0") == 0
    result = read_result(tmp_path / "results" / "mine" / f"{TASKS[1]}.0.0.json")
    assert result["environment"] == {"stub": "1"}
    assert "torch" in result["versions"]
    assert result["chosen"]["slope"] == pytest.approx(2)  # two atoms a cell


def test_a_peer_that_fails_is_quoted(stub: Path) -> None:
    with pytest.raises(exchange.PeerError, match=r"(?s)stub gave no answer: it failed.*no factor below zero"):
        own_environment(problem(), (), {"peer": "stub", "factor": -1})


def test_a_peer_that_hangs_is_ended(stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "TIME_LIMIT", 0.5)
    (tmp_path / "peers" / "stub" / "fit.py").write_text("import time\nprint('waiting', flush=True)\ntime.sleep(60)\n")
    with pytest.raises(exchange.PeerError, match=r"ended after 0 s|ended after 1 s"):
        own_environment(problem(), (), {"peer": "stub", "factor": 1})


def test_a_missing_environment_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python -m benchmarks\.peers\.environments modnet"):
        own_environment(problem(), (), {"peer": "modnet"})


def test_the_cards_of_peers_name_one_that_is_there() -> None:
    assert environments.list_peers() == ["modnet"]
    method = load_method("modnet")
    assert method.settings["peer"] == "modnet"
    assert "fast features" in method.title
    assert learned_from("modnet") == "train+val"


def test_modnet_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own environment, where there is one."""
    monkeypatch.setenv("MOE_MAT_CACHE", str(USERS))
    try:
        python = environments.python_of("modnet")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    elements = rng.choice(["Na", "K", "Rb", "Li", "Cs", "Ag"], 60)
    lengths = rng.uniform(3, 5, 60)
    crystals = [
        Structure(Lattice.cubic(a), [e, "Cl"], [[0, 0, 0], [0.5] * 3]) for a, e in zip(lengths, elements, strict=True)
    ]
    parts = {"train": slice(0, 40), "val": slice(40, 50)}
    known = {part: (crystals[which], lengths[which]) for part, which in parts.items()}
    exchange.rows_of({**known, "test": (crystals[50:], None)}).to_parquet(tmp_path / "rows.parquet")
    method = load_method("modnet")
    settings = {**method.settings, "epochs": 60, "n_models": 1, "seed": 0, "candidates": list(method.candidates[:1])}
    del settings["peer"]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    command = [python, exchange.PEERS / "modnet" / "fit.py", tmp_path, tmp_path / "features.sqlite"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, stdin=subprocess.DEVNULL)
    answer = json.loads((tmp_path / "answer.json").read_text())
    errors = np.abs(np.array(answer["predictions"]) - lengths[50:])
    assert errors.mean() < np.abs(lengths[50:] - lengths[:50].mean()).mean()
