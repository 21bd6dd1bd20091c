"""Signals end a command with 128 + signal and one line; nothing is half-written, and the same command goes on."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_binaries import write_binaries, write_recipe

from cli.own_runs import TESTS, Run, checkpoint, crystals, killed, run_folder, small
from cli.shells import heed_interrupts, shell
from moe_mat.cli.signals import Stopped, signals_as_exceptions, stopped_behind, tell_no_other

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def start(*arguments: object) -> subprocess.Popen[str]:
    """The command as a process of its own, in the foreground."""
    return subprocess.Popen(
        [sys.executable, "-m", "moe_mat", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def catches(process: subprocess.Popen[str], number: int) -> bool:
    """Whether a process has a handler of a signal, see proc(5)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (caught,) = (line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def told(process: subprocess.Popen[str]) -> list[str]:
    """What a process says in the end that is no message of its log."""
    _, err = process.communicate(timeout=60)
    return [line for line in err.splitlines() if not line.startswith(("info: ", "warning: "))]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["fit"], signal.SIGTERM),
        (["crossval"], signal.SIGINT),
        (["predict", "new", "--ckpt_path", "best.ckpt"], signal.SIGTERM),
        (["embed", "new"], signal.SIGINT),
        (["audit", "new"], signal.SIGTERM),
        (["compose", "new", "--target", "y", "--modules", "magpie"], signal.SIGINT),
        (["pretrain", "recipe.yaml"], signal.SIGTERM),
        (["cache", "list"], signal.SIGINT),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value[0],
)
def test_a_signal_at_the_start(arguments: list[str], number: signal.Signals) -> None:
    process = start(*arguments)
    wait_for(lambda: catches(process, signal.SIGTERM), process)  # Python itself catches SIGINT, long before us
    time.sleep(0.1)
    process.send_signal(number)
    lines = told(process)
    assert len(lines) == 1, lines
    assert f"stopped by {number.name}; " in lines[0]
    assert process.returncode == 128 + number
    assert not list(Path().iterdir())


@pytest.fixture
def many(own: list[str]) -> list[object]:
    """Crystals that are in no cache, so many that embedding them takes a while."""
    table = pd.concat([pd.read_parquet(own[1])] * 150, ignore_index=True)
    scales = np.random.default_rng().uniform(0.9, 1.1, len(table))
    for column in ("lattice_vectors", "cartesian_site_positions"):
        table[column] = [[list(row * scale) for row in rows] for rows, scale in zip(table[column], scales, strict=True)]
    table.assign(name=[str(row) for row in range(len(table))]).to_parquet("many.parquet")
    return ["many.parquet", "--id_column", "name"]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "number"), [("predict", SIGNALS[0]), ("embed", SIGNALS[1])])
def test_a_signal_in_the_middle_leaves_no_half_of_a_file(
    command: str, number: signal.Signals, run: Run, own: list[str], many: list[object]
) -> None:
    arguments: list[object] = [command, *many, "--output", "out/file"]
    if command == "predict":
        assert run("fit", *small(), *own) == 0
        arguments += ["--ckpt_path", checkpoint()]
    else:
        arguments += ["--experts", "[magpie,structure_features]"]
    process = start(*arguments)
    wait_for(lambda: list(Path().glob("out/*.part")), process)
    process.send_signal(number)
    assert told(process) == [
        f"moe-mat {command}: stopped by {number.name}; the same command goes on with the embeddings and "
        "checkpoints that are kept"
    ]
    assert process.returncode == 128 + number
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_fit_says_how_to_go_on_and_ends_where_an_undisturbed_one_does(name: str, own: list[str]) -> None:
    arguments = ["fit", *small(**{"model.head": "mlp", "trainer.max_epochs": 12, "data.batch_size": 5}), *own]
    # Processes of their own with one thread: the order of sums is then the same in all.
    surroundings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": TESTS}
    assert shell(*arguments, **surroundings).returncode == 0
    ended = shell(*arguments, *killed(6, name), **surroundings)
    assert ended.returncode == 128 + getattr(signal, name)
    *_, line = ended.stderr.splitlines()
    assert line.startswith(f"moe-mat fit: stopped by {name}; go on by moe-mat fit --config ")
    assert not (run_folder(version=1) / "predictions.csv").exists()
    *_, config, option, last = shlex.split(line)
    assert option == "--ckpt_path"
    assert Path(config).is_file()
    assert shell(*arguments, option, last, **surroundings).returncode == 0
    expected, rows = (pd.read_csv(run_folder(version=version) / "predictions.csv") for version in (0, 2))
    assert len(rows) == len(crystals()[1])
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)


@pytest.mark.slow
def test_a_pretraining_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = write_binaries(tmp_path)
    arguments = ["pretrain", write_recipe(tmp_path), "--data", data, "--only", "toy_networks"]
    arguments += ["--trainer.max_epochs", "60", "--trainer.accelerator", "cpu"]
    undisturbed = shell(*arguments, "--output", "whole", "--runs", "runs_whole")
    assert undisturbed.returncode == 0, undisturbed.stderr
    process = start(*arguments, "--output", "resumed", "--runs", "runs")
    wait_for(lambda: list(Path("runs").rglob("last.ckpt")), process)
    process.send_signal(signal.SIGTERM)
    assert told(process)[-1].startswith("moe-mat pretrain: stopped by SIGTERM; the same command goes on ")
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(Path("resumed").iterdir())
    assert shell(*arguments, "--output", "resumed", "--runs", "runs").returncode == 0
    weights = sorted(Path("whole").glob("*.safetensors"))
    assert weights
    for path in weights:
        assert (Path("resumed") / path.name).read_bytes() == path.read_bytes()


def test_a_signal_is_seen_behind_the_errors_that_it_causes() -> None:
    cause = Stopped(signal.SIGTERM)
    error = RuntimeError("calling __set_name__ failed")
    error.__cause__ = cause
    assert stopped_behind(error) is cause
    assert stopped_behind(ValueError()) is None


@pytest.fixture
def foreground() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    heed_interrupts()
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("foreground")
def test_a_signal_after_the_one_that_is_told_changes_nothing() -> None:
    with signals_as_exceptions():
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        tell_no_other()
        signal.raise_signal(signal.SIGINT)
    with signals_as_exceptions(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGINT)
