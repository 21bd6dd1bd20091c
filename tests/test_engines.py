"""Where cells run: workers that die, a sweep that is killed, and a Ray cluster."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from toy_benchmark import numbers, toy_sweep, write_method
from toy_experts import cgcnn_expert

from moe_mat.engines import ProcessEngine, WorkerDiedError, answers
from moe_mat.engines.base import WORKER_ENVIRONMENT

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def toy(tmp_path, monkeypatch):
    return toy_sweep(tmp_path, monkeypatch)


@pytest.fixture
def median(tmp_path):
    return write_method(tmp_path, "noisy", kind="toy_benchmark:noisy_median")


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the workers of a killed process")
def test_killed_sweep_continues_where_it_was(toy, tmp_path):
    slow = write_method(tmp_path, "noisy", kind="toy_benchmark:noisy_median", settings={"seconds": 0.3})
    folders = ["--cards", tmp_path / "cards", "--data", tmp_path / "data", "--output", tmp_path / "killed"]
    command = [sys.executable, "-m", "benchmarks.sweep", *map(str, folders), "--methods", slow, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
    workers: list[int] = []
    try:
        end = time.monotonic() + 120
        while len(list((tmp_path / "killed").glob("*/*.json"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        workers = children(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*/*.json")}
    assert 3 <= len(finished) < 10
    assert toy("--methods", slow, output="killed") == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert toy("--methods", slow, output="uninterrupted") == 0
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "uninterrupted")
    assert len(numbers(tmp_path / "killed")) == 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):  # they must not outlive the sweep
        assert time.monotonic() < end
        time.sleep(0.05)


def test_worker_that_dies_takes_only_its_own_job_down(tmp_path, monkeypatch):
    (tmp_path / "jobs.py").write_text(
        textwrap.dedent("""
            import os, time

            def square(x):
                time.sleep(0.2)
                return x * x

            def die(x):
                os._exit(9)

            def fail(x):
                raise KeyError(x)
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    for variable in WORKER_ENVIRONMENT:
        monkeypatch.setenv(variable, "1")
    import jobs

    engine = ProcessEngine(2)
    try:
        jobs_to_do = [
            ("a", jobs.square, (2,)),
            ("b", jobs.die, (0,)),
            ("c", jobs.fail, (1,)),
            ("d", jobs.square, (3,)),
            ("e", jobs.square, (4,)),
        ]
        found = dict(answers(engine, jobs_to_do))
    finally:
        engine.close()
    assert (found["a"], found["d"], found["e"]) == (4, 9, 16)
    assert isinstance(found["b"], WorkerDiedError)
    assert isinstance(found["c"], KeyError)


def test_ray_gives_the_same_results(toy, median, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install moe_mat[ray]")
    from ray.cluster_utils import Cluster

    cgcnn_expert(tmp_path / "experts", "toy_a")
    kernel = write_method(
        tmp_path,
        "kernel",
        kind="mixture",
        experts=["default"],
        settings={"n_members": 1, "max_epochs": 3},
    )
    options = ["--methods", median, kernel, "--experts", str(tmp_path / "experts"), "--splits", "0", "1"]
    assert toy(*options) == 0
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        assert toy(*options, "--engine", "ray", "--workers", "2", output="ray") == 0
    finally:
        ray.shutdown()
        cluster.shutdown()
    here, there = numbers(tmp_path / "results"), numbers(tmp_path / "ray")
    assert list(here) == list(there)
    for name, result in here.items():
        np.testing.assert_allclose(result["predictions"], there[name]["predictions"], rtol=1e-6, atol=1e-6)
