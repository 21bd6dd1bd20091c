"""A Ray cluster of two nodes on this machine: embeddings, predictions, a sweep, each with a worker that is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_deaths
from cli.own_runs import checkpoint, small, write_parquet
from toy_benchmark import numbers, toy_sweep, write_method
from toy_experts import cgcnn_expert

from benchmarks.cells import loop
from moe_mat.cli.main import main
from moe_mat.engines import RayEngine, WorkerDiedError, answers
from moe_mat.shards import runs

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install moe_mat[ray]")

REPOSITORY = Path(__file__).parent.parent
# A busy machine starts a node in more than the half minute that Ray waits.
PATIENCE = {"RAY_raylet_start_wait_time_s": "120", "RAY_worker_register_timeout_seconds": "120"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of two nodes with one core each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENCE.items():
            patch.setenv(name, value)
        patch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.mktemp("cache of the nodes")))
        node = {"num_cpus": 1, "memory": 4 * 2**30}
        found = Cluster()
        try:
            try:
                found.add_node(**node, include_dashboard=False)
                found.add_node(**node)
            except Exception as error:  # of no class of its own
                pytest.skip(f"Ray starts no two nodes on this machine: {error}")
            yield found.address
        finally:
            ray.shutdown()
            found.shutdown()


@pytest.fixture(autouse=True)
def connected(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with the cluster in sight."""
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests"))))
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["moe-mat", *map(str, arguments)])
    assert main() == 0


def parts() -> pa.Table:
    return pq.read_table([str(path) for path in sorted(Path("parts").glob("part-*.parquet"))])


def in_parts(monkeypatch: pytest.MonkeyPatch, *command: object) -> pa.Table:
    """What a command writes on the cluster, where a worker is killed in the middle."""
    with monkeypatch.context() as patch:
        patch.setattr(runs, "compute_part", toy_deaths.part_with_death)
        run(monkeypatch, *command, "--output", "parts", "--engine", "ray", "--workers", "2")
    assert Path("parts/_killed").exists()
    assert Path("parts/_manifest.json").exists()
    return parts()


def test_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["embed", write_parquet(tmp_path), "--id_column", "name", "--experts", "[magpie,structure_features]"]
    run(monkeypatch, *command, "--output", "one.parquet")
    assert in_parts(monkeypatch, *command) == pq.read_table("one.parquet")


def test_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cgcnn_expert(tmp_path / "zoo", "toy")  # a card that workers find by its path
    data = ["--data.path", write_parquet(tmp_path), "--data.id_column", "name"]
    run(monkeypatch, "fit", *small(**{"model.experts": "zoo"}), *data, "--data.target", "bulk_modulus")
    command = ["predict", "--ckpt_path", checkpoint(), *data]
    run(monkeypatch, *command, "--output", "one.parquet")
    found, one = in_parts(monkeypatch, *command), pq.read_table("one.parquet")
    assert found.schema == one.schema
    pd.testing.assert_frame_equal(found.to_pandas(), one.to_pandas(), rtol=1e-4)  # other batches, other last digits


def test_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = toy_sweep(tmp_path, monkeypatch)
    cgcnn_expert(tmp_path / "experts", "toy_a")
    settings = {"n_members": 1, "max_epochs": 3}
    median = write_method(tmp_path, "noisy", kind="toy_benchmark:noisy_median")
    kernel = write_method(tmp_path, "kernel", kind="mixture", experts=["default"], settings=settings)
    options = ["--methods", median, kernel, "--experts", str(tmp_path / "experts"), "--splits", "0", "1"]
    assert sweep(*options) == 0
    monkeypatch.setattr(loop, "run_cell", toy_deaths.cell_with_death)
    assert sweep(*options, "--engine", "ray", "--workers", "2", output="ray") == 0
    assert (tmp_path / "data" / "killed").exists()
    here, there = numbers(tmp_path / "results"), numbers(tmp_path / "ray")
    assert list(here) == list(there)
    for name, result in here.items():
        np.testing.assert_allclose(result["predictions"], there[name]["predictions"], rtol=1e-6, atol=1e-6)


def test_what_a_job_keeps_stays_with_the_workers_until_it_is_released() -> None:
    engine = RayEngine(2)
    try:
        engine.submit("kept", toy_deaths.keeps, 1000, keep=True)
        assert engine.next_done() == ("kept", "an answer")
        (done,) = answers(engine, [("used", toy_deaths.counts, (engine.kept("kept"),))])
        assert done == ("used", 1000)
        engine.release("kept")
        assert engine.kept("kept") is None
        found = dict(answers(engine, [("fails", toy_deaths.fails, ()), ("dies", toy_deaths.dies, ())]))
    finally:
        engine.close()
    assert isinstance(found["fails"], KeyError)
    assert isinstance(found["dies"], WorkerDiedError)
