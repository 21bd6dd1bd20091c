"""``--shards`` and ``--engine``: the numbers of one run, in parts that outlive kills and refuse what they are not."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from toy_experts import cgcnn_expert

from cli.own_runs import WRITERS, Run, checkpoint, small, write_parquet
from moe_mat.engines import processes
from moe_mat.shards import Embedder, runs
from moe_mat.zoo import pass_workers
from moe_mat.zoo.experts import ExpertLoader

EXPERTS = ("--experts", "[magpie,structure_features]")


def parts_of(folder: Path | str) -> pa.Table:
    return pq.read_table([str(path) for path in sorted(Path(folder).glob("part-*.parquet"))])


def in_shards(run: Run, *command: object, shards: int = 3) -> None:
    for shard in range(1, shards + 1):
        assert run(*command, "--shards", f"{shard}/{shards}") == 0


def write_parquet_folder(folder: Path) -> Path:
    """As data sets of millions come: several files, one of them in small row groups, and a page about them."""
    table = pd.read_parquet(write_parquet(folder))
    (folder / "many").mkdir()
    for name, rows, size in (("a", slice(0, 6), 100), ("b", slice(6, 17), 4), ("c", slice(17, None), 100)):
        table[rows].to_parquet(folder / "many" / f"{name}.parquet", row_group_size=size)
    (folder / "many" / "README.md").write_text("crystals")
    return folder / "many"


@pytest.mark.parametrize("write", [write_parquet_folder, *WRITERS.values()], ids=["parquet folder", *WRITERS])
def test_parts_are_what_one_run_writes(write, run: Run, tmp_path: Path) -> None:
    command = ["embed", write(tmp_path / "data"), *EXPERTS]
    assert run(*command, "--output", "one.parquet") == 0
    in_shards(run, *command, "--output", "parts")
    one, parts = pq.read_table("one.parquet"), parts_of("parts")
    assert parts.schema == one.schema
    assert parts == one
    assert len(one) == 20
    pd.testing.assert_frame_equal(pd.read_parquet("parts"), one.to_pandas())  # the folder is a data set
    manifest = json.loads(Path("parts/_manifest.json").read_text())
    assert [part["rows"] for part in manifest["parts"]] == [[0, 7], [7, 14], [14, 20]]
    assert set(manifest["made_with"]["experts"]) == {"magpie", "structure_features"}


def test_predictions_in_parts(run: Run, own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", *small(), *own) == 0
    command = ["predict", "--ckpt_path", checkpoint(), *own[:2], *own[4:]]
    assert run(*command, "--output", "one.parquet") == 0
    assert run(*command, "--output", "one.csv") == 0
    in_shards(run, *command, "--output", "parts")
    one, parts = pq.read_table("one.parquet"), parts_of("parts")
    assert parts.schema == one.schema
    pd.testing.assert_frame_equal(parts.to_pandas(), one.to_pandas(), rtol=1e-4)  # other batches, other last digits
    pd.testing.assert_frame_equal(one.to_pandas(), pd.read_csv("one.csv"), check_dtype=False, rtol=1e-6)
    assert run("fit", *small(**{"seed_everything": 1}), *own) == 0
    other = ["predict", "--ckpt_path", checkpoint(version=1), *command[3:], "--output", "parts", "--shards", "1/3"]
    assert run(*other) == 1
    assert "is of a run with another checkpoint: name another --output" in capsys.readouterr().err
    assert run(*command, "--output", "parts", "--shards", "1/3", "--level", "0.5") == 1
    assert "is of a run with another level (0.9)" in capsys.readouterr().err


def test_a_run_that_was_cut_off_goes_on(run: Run, own: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["embed", own[1], *EXPERTS, "--id_column", "name", "--output", "parts", "--shards", "1/1"]
    monkeypatch.setattr("moe_mat.shards.plan.MOST_ROWS", 3)
    whole = runs.compute_part

    def cut_off(task: runs.PartTask, number: int) -> object:
        if number == 2:
            raise OSError("the power is gone")
        return whole(task, number)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "compute_part", cut_off)
        assert run(*command) == 1
    assert not Path("parts/_manifest.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in Path("parts").glob("part-*.parquet")}
    assert len(finished) == 2
    # What a kill leaves: a part without its record, and one that is not whole.
    Path("parts/part-00002.parquet").write_bytes(b"PAR1")
    Path("parts/part-00003.parquet.5eed.part").write_bytes(b"PAR1")
    Path("parts/_part-00004.json").write_text('{"part": 4')
    assert run(*command) == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert not list(Path("parts").glob("*.part"))
    assert run("embed", own[1], *EXPERTS, "--id_column", "name", "--output", "one.parquet") == 0
    assert parts_of("parts") == pq.read_table("one.parquet")


def test_other_crystals_and_experts_are_refused(
    run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(*options: object, path: object = own[1]) -> str:
        arguments = {"--id_column": "name", "--experts": "magpie", "--output": "parts", "--shards": "1/2"}
        arguments |= dict(zip(options[::2], options[1::2], strict=True))
        assert run("embed", path, *(word for pair in arguments.items() for word in pair)) == 1
        return capsys.readouterr().err

    assert (
        run("embed", own[1], "--id_column", "name", "--experts", "magpie", "--output", "parts", "--shards", "1/2") == 0
    )
    assert "other experts (structure_features): name another --output" in attempt("--experts", EXPERTS[1])
    assert "another id_column (name)" in attempt("--id_column", "bulk_modulus")
    other = tmp_path / "other" / "own.parquet"
    other.parent.mkdir()
    pd.read_parquet(own[1])[::-1].to_parquet(other)
    assert "other crystals (own.parquet)" in attempt(path=other)
    plan = Path("parts/_plan.json")
    assert (
        run("embed", other, "--id_column", "name", "--experts", "magpie", "--output", "others", "--shards", "1/2") == 0
    )
    plan.write_bytes(Path("others/_plan.json").read_bytes())
    assert "part-00000.parquet was computed with other crystals: name another" in attempt(path=other)
    plan.unlink()
    assert ".parquet is of a run whose _plan.json is missing" in attempt()
    assert "--output one.parquet is a file" in attempt("--output", "one.parquet")
    assert "3/64 is the third of 64" in attempt("--shards", "0/2")


def messy(folder: Path) -> Path:
    """Two ids that occur again, the first time of one of them with a crystal that cannot be used."""
    table = pd.read_parquet(write_parquet(folder))
    table.loc[[4, 9, 15, 19], "name"] = "four times"
    table.loc[[2, 11], "name"] = "twice"
    table.at[4, "species_at_sites"] = ["Qq"] * len(table.at[4, "species_at_sites"])
    path = folder / "messy.parquet"
    table.to_parquet(path)
    return path


def test_ids_that_repeat_are_found_over_all_parts(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["embed", messy(tmp_path), *EXPERTS, "--id_column", "name"]
    assert run(*command, "--output", "parts", "--shards", "1/4") == 1
    assert "row 4, crystal 'four times'" in capsys.readouterr().err
    assert not Path("parts/_plan.json").exists()
    assert run(*command, "--output", "one.parquet", "--on_error", "skip") == 0
    said = capsys.readouterr().out
    in_shards(run, *command, "--output", "parts", "--on_error", "skip", shards=4)
    assert parts_of("parts") == pq.read_table("one.parquet")
    records = [json.loads(path.read_text()) for path in sorted(Path("parts").glob("_part-*.json"))]
    reasons = [one["reason"] for record in records for one in record["left_out"]]
    assert len(reasons) == 4
    assert all(reason in " ".join(said.split()) for reason in reasons)
    assert run(*command, "--output", "parts", "--shards", "1/4") == 1
    assert "occurs twice" in capsys.readouterr().err


def test_processes_do_all_parts_and_one_may_be_killed(
    run: Run, own: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_deaths

    for variable in processes.WORKER_ENVIRONMENT:
        monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(runs, "compute_part", toy_deaths.part_with_death)
    command: Sequence[object] = ["embed", own[1], *EXPERTS, "--id_column", "name"]
    assert run(*command, "--output", "parts", "--engine", "processes", "--workers", "2") == 0
    assert Path("parts/_killed").exists()
    assert not list(Path("parts").glob("*.part"))
    assert run(*command, "--output", "one.parquet") == 0
    assert parts_of("parts") == pq.read_table("one.parquet")


def test_beside_a_gpu_processes_prepare_crystals_for_all_parts_and_one_may_be_killed(
    run: Run, own: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The CPU takes the place of the GPU, which this process alone would have."""
    cgcnn_expert(tmp_path / "zoo", "toy")
    command = ["embed", own[1], "--experts", f"[{tmp_path}/zoo,magpie]", "--id_column", "name"]
    assert run(*command, "--output", "one.parquet") == 0
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "another cache"))
    monkeypatch.setattr("moe_mat.shards.plan.MOST_ROWS", 4)
    monkeypatch.setattr("moe_mat.encoders.choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(ExpertLoader, "on_gpu", property(lambda loader: True))
    pools, parts = [], []
    process_pool, tables = pass_workers.process_pool, Embedder.tables

    def counted(*arguments, **others):
        pools.append(arguments[0])
        return process_pool(*arguments, **others)

    def with_death(maker, crystals, **others):
        parts.append(maker)
        if len(parts) == 2:
            for process in multiprocessing.active_children():
                process.kill()
        return tables(maker, crystals, **others)

    monkeypatch.setattr(pass_workers, "process_pool", counted)
    monkeypatch.setattr(Embedder, "tables", with_death)
    command += ["--output", "parts", "--shards", "1/1", "--workers", "2"]
    assert run(*command) == 1
    assert "1 of 7 parts failed (part-00001.parquet)" in capsys.readouterr().err
    assert pools == [2, 2]
    assert not multiprocessing.active_children()
    assert run(*command) == 0
    assert len(parts) == 8
    one, several = pq.read_table("one.parquet"), parts_of("parts")
    assert one["material_id"] == several["material_id"]
    for tag in ("toy", "magpie"):  # other batches, other last digits
        np.testing.assert_allclose(
            np.stack(several[tag].to_numpy()), np.stack(one[tag].to_numpy()), rtol=1e-4, atol=1e-5
        )
