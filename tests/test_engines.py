"""Where jobs run: workers that die, and a sweep that is killed. tests/test_ray.py has the Ray cluster."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from toy_benchmark import numbers, toy_sweep, write_method

from moe_mat.engines import ProcessEngine, WorkerDiedError, WorkerNeeds, answers
from moe_mat.engines.base import WORKER_ENVIRONMENT
from moe_mat.engines.ray_cluster import worker_requests

REPOSITORY = Path(__file__).parent.parent


def test_no_worker_is_left_when_a_pool_has_closed():
    engine = ProcessEngine(2)
    engine.submit("one", time.sleep, 0)
    engine.submit("other", time.sleep, 600)  # still busy then
    assert engine.next_done() == ("one", None)
    workers = list(engine._pool._processes.values())
    engine.close()
    assert workers
    assert not any(worker.is_alive() for worker in workers)


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
        end = time.monotonic() + 600
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


def test_a_worker_with_a_gpu_asks_ray_for_its_share_of_the_cores(caplog):
    plain, small, large = {"CPU": 64.0}, {"CPU": 16.0, "GPU": 1.0}, {"CPU": 64.0, "GPU": 8.0}
    plain, small, large = ({**node, "memory": 2.0**39} for node in (plain, small, large))
    assert worker_requests(WorkerNeeds(gpus=1), [plain, small]) == {"num_cpus": 16, "num_gpus": 1}
    asked = worker_requests(WorkerNeeds(memory=1000, gpus=1), [plain, small, large])
    assert asked == {"num_cpus": 8, "memory": 8000, "num_gpus": 1}
    assert worker_requests(WorkerNeeds(memory=1000), [plain, large]) == {"num_cpus": 1, "memory": 1000}
    assert worker_requests(WorkerNeeds(gpus=1), [plain]) == {"num_cpus": 1}  # no node has one: the CPU does it
    assert not caplog.messages
    worker_requests(WorkerNeeds(memory=2**37, gpus=1), [large])
    assert "8 cores, 1024.0 GiB of memory and 1 GPUs" in caplog.text
