"""``moe-mat suggest``: from a run folder and a file of candidates to a CSV of suggestions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from cli.class_runs import N_CRYSTALS, ClassRun
from cli.own_runs import Run, checkpoint, small
from moe_mat.crystals import load_quickstart


def test_suggest_reads_run_and_candidates(run: Run, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", *small(), *own) == 0
    structures, _ = load_quickstart()
    names = [f"{one.elements[0]}-{n}" for n, one in enumerate(structures)]
    candidates = pd.DataFrame({"material_id": names, "structure": [one.as_dict() for one in structures]})
    candidates.to_json("candidates.json", orient="records")
    capsys.readouterr()
    given = ["--ckpt_path", checkpoint(), "candidates.json", "--goal", "max", "--n", "4", "--max-atoms", "3"]
    assert run("suggest", *given, "--without", "Os,Ir", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    rows = pd.read_csv("suggestions.csv")
    assert list(rows["material_id"]) == facts["suggested"]
    assert len(rows) == 4
    assert not {"Os", "Ir"} & set(rows["formula"])
    for end in ("predicted", "std", "lower", "upper", "percentile", "outside"):
        assert f"bulk_modulus_{end}" in rows
    n_own = len(pd.read_parquet(own[1]))
    n_excluded = sum(facts["excluded"].values())
    assert facts["considered"] + len(facts["known"]) + n_excluded == len(structures)
    assert 0 < len(facts["known"]) <= n_own
    assert run("suggest", *given, "--output", "all.csv", "--n", "99") == 2  # given twice
    Path(own[1]).rename("moved.parquet")
    assert run("suggest", *given) == 1
    assert "--measured" in capsys.readouterr().err
    assert run("suggest", *given, "--measured", "moved.parquet", "--output", "again.csv", "--without", "Os,Ir") == 0
    assert pd.read_csv("again.csv").equals(rows)
    said = capsys.readouterr().out
    assert "measured already" in said
    shutil.rmtree("runs")


def test_suggestions_of_a_class(run: Run, class_run: ClassRun, capsys: pytest.CaptureFixture[str]) -> None:
    structures, table = load_quickstart()
    candidates = pd.DataFrame({"material_id": table["material_id"], "structure": [one.as_dict() for one in structures]})
    candidates.to_json("candidates.json", orient="records")
    given = ["suggest", "--ckpt_path", class_run.checkpoint, "candidates.json", "--n", 5]
    assert run(*given, "--goal", "class=soft", "--batch", "best") == 0
    assert "probability of soft" in "".join(capsys.readouterr().out.split("\n"))
    found = pd.read_csv("suggestions.csv")
    assert found["acquisition"].tolist() == pytest.approx(found["kind_p_soft"].tolist(), rel=1e-5)
    assert set(found["material_id"]) <= set(table["material_id"][N_CRYSTALS:])
    assert run(*given, "--goal", "uncertainty", "--measured", class_run.data, "--json") == 0
    assert json.loads(capsys.readouterr().out)["considered"] == len(structures) - N_CRYSTALS
    assert run(*given, "--goal", "class=sfot") == 1
    assert "its classes are " in capsys.readouterr().err
