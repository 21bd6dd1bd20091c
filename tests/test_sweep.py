import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from toy_benchmark import TASKS, write_method, write_tasks
from toy_experts import cgcnn_expert
from toy_sources import trained_expert, write_crystals, write_training_crystals

from benchmarks import sweep, tasks
from benchmarks.cells import audit_runs, engines
from benchmarks.cells.audits import read_audit
from benchmarks.cells.engines import ProcessEngine, WorkerDiedError
from benchmarks.cells.protocols import assign_rows, few_labels, resolve_tasks, unit_of
from benchmarks.cells.results import AUDITS, Cell, ResultError, failed_result, is_finished, read_result, write_result
from benchmarks.methods import cards
from benchmarks.methods.cards import list_methods, load_method
from benchmarks.tasks import matbench_folds, read_task
from moe_mat.audit.matching import match
from moe_mat.crystals.splits import Split
from moe_mat.tasks.recipes import TRANSFORMS

REPOSITORY = Path(__file__).parent.parent
# What may differ between two runs of a cell.
PASSING = ("seconds", "peak_memory_mib", "sha256", "commit")

needs_data = pytest.mark.skipif("MOE_MAT_DATA" not in os.environ, reason="MOE_MAT_DATA names no prepared data")


class InlineEngine(engines.Engine):
    """Jobs one after the other in this process: what a sweep does, without waiting for workers to start."""

    shares_cache = True

    def __init__(self, workers: int) -> None:
        self.workers, self._jobs = workers, []

    def submit(self, name, function, *arguments, keep=False):
        self._jobs.append((name, function, arguments))

    def next_done(self):
        name, function, arguments = self._jobs.pop(0)
        try:
            return name, function(*arguments)
        except Exception as error:
            return name, error

    def kept(self, name):
        return None

    def close(self):
        pass


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The command line of a sweep over the toy tasks, run in this process."""
    cards, data = write_tasks(tmp_path)
    monkeypatch.setitem(sweep.ENGINES, "processes", InlineEngine)
    monkeypatch.setattr(tasks, "CARDS", tasks.CARDS)  # a sweep sets it

    def run(*arguments: str, output: str = "results") -> int:
        options = ["--cards", str(cards), "--data", str(data), "--output", str(tmp_path / output)]
        return sweep.main([*options, *arguments])

    yield run
    tasks.load_task.cache_clear()


@pytest.fixture
def median(tmp_path):
    return write_method(tmp_path, "noisy", kind="toy_benchmark:noisy_median")


def numbers(folder: Path) -> dict[str, dict]:
    """All results of a folder without what may differ."""
    return {
        str(path.relative_to(folder)): {k: v for k, v in read_result(path).items() if k not in PASSING}
        for path in sorted(folder.glob("*/*.json"))
        if path.parent.name != AUDITS
    }


def test_every_cell_gets_one_file_with_the_promised_keys(toy, median, tmp_path):
    assert toy("--methods", median, "median", "--splits", "0", "3", "--seeds", "0", "7") == 0
    files = sorted(str(path.relative_to(tmp_path / "results")) for path in (tmp_path / "results").glob("*/*"))
    assert len(files) == 2 * 2 * 2 * 2
    assert "noisy/toy_gap.3.7.json" in files
    result = read_result(tmp_path / "results" / "noisy" / "toy_gap.3.7.json")
    assert (result["task"], result["split"], result["method"], result["seed"]) == ("toy_gap", 3, "noisy", 7)
    task = read_task("toy_gap", folder=tmp_path / "data")
    rows = task.splits[3].test
    assert result["ids"] == [f"c{row}" for row in rows]
    np.testing.assert_allclose(result["targets"], task.target[rows], rtol=1e-5)
    mae = np.abs(np.array(result["predictions"]) - task.target[rows]).mean()
    assert result["test_mae"] == pytest.approx(mae, rel=1e-4)
    assert len(result["std"]) == len(rows)
    assert {"val_mae", "seconds", "peak_memory_mib", "versions", "commit", "splits_sha256", "fidelity"} <= set(result)


def test_finished_cells_are_not_run_again(toy, median, tmp_path, capsys):
    toy("--methods", median, "--splits", "0")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*/*")}
    assert toy("--methods", median, "--splits", "0", "1") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "4 cells, 2 finished, 2 to run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "edited", "nan", "other cell", "no number"])
def test_damaged_result_is_named_and_computed_again(toy, median, tmp_path, capsys, damage):
    toy("--methods", median, "--splits", "0", "1")
    whole = numbers(tmp_path / "results")
    path = tmp_path / "results" / "noisy" / "toy_gap.0.0.json"
    content = json.loads(path.read_text())
    if damage == "cut":
        path.write_text(path.read_text()[:300])
    elif damage == "edited":
        path.write_text(path.read_text().replace(f'"val_mae": {content["val_mae"]}', '"val_mae": 0.001'))
    elif damage == "nan":
        path.write_text(path.read_text().replace(str(content["test_mae"]), "NaN"))
    elif damage == "other cell":
        path.write_bytes(path.with_name("toy_gap.1.0.json").read_bytes())
    else:
        path.write_text(json.dumps({k: v for k, v in content.items() if k not in ("val_mae", "sha256")}))
    with pytest.raises(ResultError, match=r"toy_gap\.0\.0\.json"):
        read_result(path)
    assert toy("--methods", median, "--splits", "0", "1") == 0
    said = capsys.readouterr().err
    assert str(path) in said
    assert "computed again" in said
    assert numbers(tmp_path / "results") == whole


def test_mae_that_does_not_follow_from_the_predictions_is_noticed(toy, median, tmp_path):
    toy("--methods", median, "--splits", "0")
    path = tmp_path / "results" / "noisy" / "toy_gap.0.0.json"
    result = read_result(path)
    write_result({**result, "test_mae": 0.9 * result["test_mae"]}, tmp_path / "results")  # with a valid checksum
    with pytest.raises(ResultError, match="its predictions have an MAE of"):
        read_result(path)


def test_method_with_other_settings_is_named_and_run_again(toy, tmp_path, capsys):
    def card(limit: float) -> str:
        return write_method(tmp_path, "picky", kind="toy_benchmark:broken", settings={"limit": limit})

    toy("--methods", card(1e6), "--splits", "0")
    assert toy("--methods", card(2e6), "--splits", "0") == 0
    assert "made with other settings or experts of picky" in capsys.readouterr().err
    assert read_result(tmp_path / "results" / "picky" / "toy_gap.0.0.json")["settings"] == {"limit": 2e6}


def test_failed_cell_is_recorded_and_tried_again(toy, median, tmp_path, capsys):
    picky = write_method(tmp_path, "picky", kind="toy_benchmark:broken", settings={"limit": 50})
    assert toy("--methods", picky, median, "--splits", "0") == 1
    said = capsys.readouterr().err
    assert "no way with such targets" in said
    assert "3 cells finished, 1 failed" in said
    record = json.loads((tmp_path / "results" / "picky" / "toy_volume.0.0.json").read_text())
    assert record["test_mae"] is None
    assert "in broken" in record["traceback"]
    assert is_finished(read_result(tmp_path / "results" / "picky" / "toy_gap.0.0.json"))
    assert toy("--methods", picky, "--splits", "0") == 1
    assert "2 cells, 1 finished, 1 to run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["missing", "row", "html"])
def test_task_that_cannot_be_used_is_named_and_stops_no_other(toy, median, tmp_path, capsys, damage):
    path = tmp_path / "data" / "benchmark" / "toy_gap.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "html":
        path.write_text("<html>403</html>")
    else:
        import pandas as pd

        pd.read_parquet(path)[1:].to_parquet(path)
    assert toy("--methods", median, "--splits", "0") == 1
    said = capsys.readouterr().err
    assert "toy_gap cannot be used" in said
    assert str(path) in said
    assert not is_finished(read_result(tmp_path / "results" / "noisy" / "toy_gap.0.0.json"))
    assert is_finished(read_result(tmp_path / "results" / "noisy" / "toy_volume.0.0.json"))


def test_cell_alone_gives_the_numbers_of_the_sweep(toy, tmp_path):
    for seed, tag in enumerate(("toy_a", "toy_b", "toy_c")):
        cgcnn_expert(tmp_path / "experts", tag, seed=seed)
    published = load_method("moe-published", experts=[str(tmp_path / "experts")])
    short = {**published.settings, "max_epochs": 3, "top_k": 2}
    heads = {"max_epochs": 20, "patience": 20}
    given = ["median"]
    for name, kind, settings in (
        ("kernel", "mixture", {"n_members": 1, "max_epochs": 3}),
        ("tuned", "mixture", short),
        ("pair", "transfer", short),
        ("joined", "concatenation", heads),
        ("mean", "ensemble", {**heads, "weights": "validation"}),
        ("trees", "forest", {"n_estimators": 10}),
    ):
        given.append(write_method(tmp_path, name, kind=kind, experts=["default"], settings=settings))
    stl = {"encoder": {"width": 8, "n_convolutions": 2}, "max_epochs": 2, "batch_size": 8}
    given.append(write_method(tmp_path, "stl-small", kind="scratch", settings=stl))
    options = ["--tasks", "toy_gap", "--experts", str(tmp_path / "experts"), "--methods"]
    assert toy(*options, *given, "--splits", "0", "1") == 0
    for name in given:
        assert toy(*options, name, "--splits", "1", output="alone") == 0
    together, alone = numbers(tmp_path / "results"), numbers(tmp_path / "alone")
    assert len(alone) == len(given)
    for name, result in alone.items():
        same = together[name]
        np.testing.assert_allclose(result["predictions"], same["predictions"], rtol=1e-6, atol=1e-6)
        assert result["val_mae"] == pytest.approx(same["val_mae"], rel=1e-6)
        assert result["test_mae"] == pytest.approx(same["test_mae"], rel=1e-6)
    assert sum(together["tuned/toy_gap.0.0.json"]["gate_weights"].values()) == pytest.approx(1, abs=1e-3)
    pair = together["pair/toy_gap.0.0.json"]
    screened = {one["expert"]: one["val_mae"] for one in pair["tried"] if "expert" in one}
    assert pair["chosen"]["expert"] == min(screened, key=screened.get)
    assert len(together["mean/toy_gap.0.0.json"]["tried"]) == 3


def test_candidates_are_chosen_on_validation(toy, tmp_path):
    cgcnn_expert(tmp_path / "experts", "toy_a")
    candidates = [{"max_epochs": 1}, {"max_epochs": 8}]
    settings = {"n_members": 1, "head": "mlp", "hidden": [8], "width": 4}
    card = write_method(
        tmp_path,
        "two",
        kind="mixture",
        experts=["default"],
        settings=settings,
        candidates=candidates,
    )
    options = ["--experts", str(tmp_path / "experts"), "--tasks", "toy_gap", "--splits", "0"]
    assert toy("--methods", card, *options) == 0
    result = read_result(tmp_path / "results" / "two" / "toy_gap.0.0.json")
    best = min(result["tried"], key=lambda one: one["val_mae"])
    assert result["val_mae"] == best["val_mae"]
    assert result["chosen"] == {"max_epochs": best["max_epochs"]}


# Audits --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def audited(tmp_path):
    """Prepares experts that were trained on the first crystals of the toy tasks; gives what ``--methods`` takes."""

    def write(*, n: int = 10, target: str = "band_gap_pbe", with_source: bool = True) -> list[str]:
        task = read_task("toy_gap", folder=tmp_path / "data")
        crystals = {f"s{i}": one for i, one in enumerate(task.structures[:n])}
        write_training_crystals(
            tmp_path / "experts" / "toy.training_crystals.npz", crystals, values={target: [1.0] * n}
        )
        trained_expert(tmp_path / "experts", "seen", target=target)
        cgcnn_expert(tmp_path / "experts", "stranger")
        source = tmp_path / "data" / "pretrain" / "toy.parquet"
        if with_source:
            write_crystals(source, crystals)
        card = write_method(tmp_path, "used", kind="toy_benchmark:noisy_median", experts=["default"])
        return ["--methods", card, "--experts", str(tmp_path / "experts"), "--splits", "0", "--tasks", "toy_gap"]

    tasks.CARDS = tmp_path / "cards"
    tasks.load_task.cache_clear()
    return write


def test_sweep_audits_its_tasks_once(toy, audited, tmp_path, capsys, monkeypatch):
    done = []
    monkeypatch.setattr(audit_runs, "match", lambda *given, **more: done.append(given) or match(*given, **more))
    options = audited()
    assert toy(*options) == 0
    audit = read_audit(tmp_path / "results", "toy_gap")
    task = read_task("toy_gap", folder=tmp_path / "data")
    assert audit.ids == [f"c{i}" for i in range(40)]
    formulas = [one.composition.reduced_formula for one in task.structures]
    seen = [name in formulas[:10] for name in formulas]
    assert audit.flags(["seen"], audit.ids, "formula").tolist() == seen
    # Crystals of one formula are one crystal here: they differ in volume alone.
    assert audit.left(["seen", "stranger"], audit.ids, "leak-free").tolist() == [not one for one in seen]
    assert audit.seen[audit.experts["stranger"]].unknown
    assert toy(*options) == 0
    assert len(done) == 1
    assert toy(*audited(target="bulk_modulus_kv")) == 0
    assert len(done) == 2
    again = read_audit(tmp_path / "results", "toy_gap")
    assert again.flags(["seen"], again.ids, "crystal").tolist() == seen
    assert again.left(["seen"], again.ids, "leak-free").all()


def test_audit_without_sources_is_made_again_when_they_are_there(toy, audited, tmp_path):
    assert toy(*audited(with_source=False)) == 0
    (estimated,) = (one for one in read_audit(tmp_path / "results", "toy_gap").seen.values() if one.datasets)
    assert list(estimated.estimated) == ["toy.parquet is not there"]
    assert toy(*audited()) == 0
    (exact,) = (one for one in read_audit(tmp_path / "results", "toy_gap").seen.values() if one.datasets)
    assert not exact.estimated
    (tmp_path / "data" / "pretrain" / "toy.parquet").unlink()
    assert toy(*audited(with_source=False)) == 0
    (kept,) = (one for one in read_audit(tmp_path / "results", "toy_gap").seen.values() if one.datasets)
    assert kept == exact


def test_audit_keeps_the_experts_of_other_methods(toy, audited, tmp_path):
    options = audited()
    assert toy(*options) == 0
    (tmp_path / "more").mkdir()
    cgcnn_expert(tmp_path / "more", "other")
    options[options.index("--experts") + 1] = str(tmp_path / "more")
    assert toy(*options) == 0
    audit = read_audit(tmp_path / "results", "toy_gap")
    assert audit.knows(["seen", "stranger", "other"], audit.ids)


def test_expert_that_cannot_be_audited_is_named(toy, audited, tmp_path, capsys):
    options = audited()
    (tmp_path / "experts" / "toy.training_crystals.npz").write_bytes(b"PK rotten")
    assert toy(*options) == 1
    said = capsys.readouterr().err
    assert "toy_gap cannot be audited" in said
    assert "toy.training_crystals.npz is not a usable file of training crystals" in said
    assert is_finished(read_result(tmp_path / "results" / "used" / "toy_gap.0.0.json"))


@pytest.mark.parametrize("damage", ["cut", "edited"])
def test_damaged_audit_is_made_again(toy, audited, tmp_path, damage):
    options = audited()
    assert toy(*options) == 0
    path = tmp_path / "results" / "audit" / "toy_gap.json"
    whole = path.read_text()
    path.write_text(whole[:500] if damage == "cut" else whole.replace('"c1"', '"c0"'))
    assert read_audit(tmp_path / "results", "toy_gap") is None
    assert toy(*options) == 0
    assert path.read_text() == whole


# Processes -----------------------------------------------------------------------------------------------------------


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
    for variable in engines.THREADS:
        monkeypatch.setenv(variable, "1")
    import jobs

    engine = ProcessEngine(2)
    try:
        todo = [
            ("a", jobs.square, 2),
            ("b", jobs.die, 0),
            ("c", jobs.fail, 1),
            ("d", jobs.square, 3),
            ("e", jobs.square, 4),
        ]
        answers, running = {}, 0
        while todo or running:
            while todo and running < 2:
                name, function, argument = todo.pop(0)
                engine.submit(name, function, argument)
                running += 1
            name, answers[name] = engine.next_done()
            running -= 1
    finally:
        engine.close()
    assert (answers["a"], answers["d"], answers["e"]) == (4, 9, 16)
    assert isinstance(answers["b"], WorkerDiedError)
    assert isinstance(answers["c"], KeyError)


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


# Protocols and methods -----------------------------------------------------------------------------------------------


def test_few_labels_are_nested_and_count_validation():
    rows = Split(np.arange(100), np.arange(100, 120), np.arange(120, 140))
    small, large = few_labels(rows, 10, seed=[0, 1]), few_labels(rows, 30, seed=[0, 1])
    assert (len(small.train), len(small.val)) == (8, 2)
    assert set(small.train) <= set(large.train) <= set(rows.train)
    assert set(small.val) <= set(large.val) <= set(rows.val)
    assert (small.test == rows.test).all()
    assert set(small.train) != set(few_labels(rows, 10, seed=[1, 1]).train)
    everything = few_labels(rows, 120, seed=[0, 1])
    assert (len(everything.train), len(everything.val)) == (100, 20)
    with pytest.raises(ValueError, match="use 3 to 120"):
        few_labels(rows, 121, seed=[0, 1])


def test_few_labels_have_files_of_their_own(toy, median, tmp_path):
    assert toy("--methods", median, "--tasks", "toy_gap", "--splits", "0", "--n-labels", "5", "10") == 0
    result = read_result(tmp_path / "results" / "noisy" / "toy_gap.0.0.10.json")
    assert result["rows"] == {"train": 8, "val": 2, "test": 6}


def test_units_and_names_of_the_protocols():
    assert unit_of("matbench_phonons") == "1/cm"
    assert unit_of("mp_phonons") == "ln 1/cm"
    assert unit_of("mp_dielectric") == "ln"
    assert unit_of("piezoelectric_tensor") == "ln(1+C/m^2)"
    both = resolve_tasks(["mp_phonons", "matbench_jdft2d"], protocol="matbench")
    assert both == ["matbench_phonons", "matbench_jdft2d"]
    assert len(resolve_tasks(["all"], protocol="matbench")) == 3
    with pytest.raises(ValueError, match="mp_poisson_ratio is not in Matbench"):
        resolve_tasks(["mp_poisson_ratio"], protocol="matbench")


@needs_data
def test_matbench_cells_are_in_raw_units_and_keep_the_fold():
    task = read_task("mp_phonons")
    work = assign_rows(Cell("matbench_phonons", 2, "x"), task)
    train, test = matbench_folds(len(task.target))[2]
    assert (work.rows.test == test).all()
    assert sorted([*work.rows.train, *work.rows.val]) == sorted(train)
    assert len(work.rows.val) == round(0.15 * len(train))
    np.testing.assert_allclose(work.target, TRANSFORMS["ln"][1](task.target))
    assert work.splits_sha256 != task.splits_sha256


def test_method_cards_are_sound(tmp_path):
    cgcnn_expert(tmp_path / "experts", "toy_a")
    cgcnn_expert(tmp_path / "experts", "toy_b", seed=1)
    experts = [str(tmp_path / "experts")]
    assert {"median", "rf-magpie", "stl", "tl", "concat", "ensemble", "moe-published", "moe"} <= set(list_methods())
    for name in list_methods():
        method = load_method("tl:best" if name == "tl" else name, experts=experts)
        method.load()
        assert method.title
    assert len(load_method("moe-published", experts=experts).experts) == 2
    assert load_method("rf-magpie", experts=experts).experts == ("magpie",)
    one = load_method("tl:toy_b", experts=experts)
    assert (one.name, [Path(expert).stem for expert in one.experts]) == ("tl:toy_b", ["toy_b"])
    assert one.digest != load_method("tl:toy_a", experts=experts).digest


@pytest.mark.parametrize(
    ("name", "said"),
    [("mow", "moe"), ("tl", "tl:best"), ("moe:best", "no expert"), ("tl:nothing", "no expert 'nothing'")],
)
def test_wrong_method_is_explained(tmp_path, name, said):
    cgcnn_expert(tmp_path / "experts", "toy_a")
    with pytest.raises(ValueError, match=said):
        load_method(name, experts=[str(tmp_path / "experts")])


@pytest.mark.parametrize("text", ["experts: [a?]", "just words", ""])
def test_a_broken_method_card_is_named(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.yaml is no"):
        load_method(str(path))
    path.write_text(f"{{method: mine, title: mine, kind: {__name__}:run, settings_of: finetun}}")
    with pytest.raises(ValueError, match="There is no method 'finetun'; there is finetune"):
        load_method(str(path))
    path.write_text(f"{{method: mine, title: mine, kind: {__name__}:run, settings_of: moma-full}}")
    with pytest.raises(ValueError, match="names moma-full, which has those of finetune: name that card"):
        load_method(str(path))


@pytest.mark.parametrize("name", ["median", "stl"])
def test_committed_cells_stay_valid_wherever_the_code_of_their_method_lies(name, monkeypatch):
    committed = read_result(sweep.RESULTS / name / "mp_phonons.0.0.json")
    monkeypatch.setattr(cards, "KINDS", dict.fromkeys(cards.KINDS, "another.module:function"))
    assert load_method(name).digest == committed["method_digest"]


def test_an_unknown_kind_is_explained(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.yaml: there is no kind 'mixtur'; there is mixture"):
        load_method(write_method(tmp_path, "mine", kind="mixtur"))


def test_failed_result_is_no_number(tmp_path):
    cell = Cell("toy_gap", 0, "tl:a", 0)
    path = write_result(failed_result(cell, error="ValueError: x", traceback="..."), tmp_path)
    assert path == tmp_path / "tl-a" / "toy_gap.0.0.json"
    assert not is_finished(read_result(path))
    assert TASKS[0] == read_result(path)["task"]
