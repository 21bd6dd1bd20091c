"""The command line as a user meets it: own data in every format, resumed and refused runs, clear lines for mistakes."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
import yaml
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pytorch_lightning.callbacks import Callback
from toy_experts import cgcnn_expert

from moe_mat import load_expert
from moe_mat.cli.commands import COMMANDS
from moe_mat.cli.main import main
from moe_mat.crystals.datasets import load_quickstart

CONFIGS = Path(__file__).parents[1] / "configs"
REFERENCE_EXPERTS = Path(os.environ.get("MOE_MAT_DATA", "missing")).parent / "reference_experts"
N_CRYSTALS = 20

Run = Callable[..., int]


class Killed(Callback):
    """Ends the process as a power cut would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for this file: each crystal is embedded once, as for a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOE_MAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache_folder() -> None:
    """In place of the empty cache that every other test gets."""


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command in this process; imports cost seconds."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["moe-mat", *map(str, arguments)])
        return main()

    return call


def shell(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call the command as the shell does."""
    command = [sys.executable, "-m", "moe_mat", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)


def crystals() -> tuple[list[Structure], pd.DataFrame]:
    structures, table = load_quickstart()
    table = table[["material_id", "bulk_modulus"]][:N_CRYSTALS].rename(columns={"material_id": "name"})
    return structures[:N_CRYSTALS], table.reset_index(drop=True)


def write_csv(folder: Path) -> Path:
    structures, table = crystals()
    (folder / "cif").mkdir(parents=True)
    for name, structure in zip(table["name"], structures, strict=True):
        structure.to(filename=str(folder / "cif" / f"{name}.cif"))
    table.assign(file="cif/" + table["name"] + ".cif").to_csv(folder / "own.csv", index=False)
    return folder / "own.csv"


def write_folder(folder: Path) -> Path:
    structures, table = crystals()
    (folder / "own").mkdir(parents=True)
    for name, structure in zip(table["name"], structures, strict=True):
        structure.to(filename=str(folder / "own" / f"{name}.vasp"), fmt="poscar")
    table.rename(columns={"name": "file"}).to_csv(folder / "own" / "values.csv", index=False)
    return folder / "own"


def write_json(folder: Path) -> Path:
    structures, table = crystals()
    records = table.assign(structure=[structure.as_dict() for structure in structures]).to_dict("records")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.json").write_text(json.dumps(records))
    return folder / "own.json"


def write_parquet(folder: Path) -> Path:
    structures, table = crystals()
    columns = {
        "lattice_vectors": [structure.lattice.matrix.tolist() for structure in structures],
        "cartesian_site_positions": [structure.cart_coords.tolist() for structure in structures],
        "species_at_sites": [[str(site.specie) for site in structure] for structure in structures],
    }
    folder.mkdir(parents=True, exist_ok=True)
    table.assign(**columns).to_parquet(folder / "own.parquet")
    return folder / "own.parquet"


def write_extxyz(folder: Path) -> Path:
    structures, table = crystals()
    frames = []
    for structure, row in zip(structures, table.to_dict("records"), strict=True):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.info = row
        frames.append(atoms)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "own.extxyz", frames, format="extxyz")
    return folder / "own.extxyz"


WRITERS = {"csv": write_csv, "folder": write_folder, "json": write_json, "parquet": write_parquet, "xyz": write_extxyz}


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """What ``fit`` is told of data of one's own."""
    return ["--data.path", str(write_parquet(tmp_path)), "--data.target", "bulk_modulus", "--data.id_column", "name"]


def small(**settings: object) -> list[str]:
    """Settings of a run of a second."""
    known: dict[str, object] = {"model.experts": "magpie", "trainer.max_epochs": 3, "trainer.accelerator": "cpu"}
    return [f"--{name}={value}" for name, value in {**known, **settings}.items()]


def run_folder(name: str = "own", version: int = 0) -> Path:
    return Path("runs") / name / f"version_{version}"


def checkpoint(name: str = "own", version: int = 0) -> Path:
    return run_folder(name, version) / "checkpoints" / "best.ckpt"


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    rows = json.loads((folder / "metrics.json").read_text())["metrics"]
    return {row["part"]: row for row in rows}


# The quickstart -------------------------------------------------------------------------------------------------------


def test_the_quickstart_from_the_shell(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell("fit", COLUMNS="160")
    assert result.returncode == 0, result.stderr
    for shown in (
        "dcdft: 40 train, 9 val, 9 test rows; 13 crystals left out",
        "MAE of the training median",
        "gate weight",
    ):
        assert shown in result.stdout
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr

    folder = run_folder("dcdft")
    report = metrics(folder)
    assert report["test"]["mae"] < 0.5 * report["test"]["median_mae"]
    predictions = pd.read_csv(folder / "predictions.csv")
    assert len(predictions) == predictions["material_id"].nunique() == 58
    weights = pd.read_csv(folder / "gate_weights.csv", index_col="expert")["weight"]
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert len(pd.read_csv(folder / "left_out.csv")) == 13
    for name in ("config.yaml", "metrics.csv", "parity.png", "gate_weights.png", "checkpoints/last.ckpt"):
        assert (folder / name).stat().st_size > 0

    assert run("test", "--ckpt_path", checkpoint("dcdft")) == 0
    assert metrics(run_folder("dcdft_test"))["test"]["mae"] == pytest.approx(report["test"]["mae"], rel=1e-5)
    assert run("validate", "--ckpt_path", checkpoint("dcdft")) == 0
    assert run("predict", "--ckpt_path", checkpoint("dcdft"), "--data.dataset", "dcdft") == 0
    told = predictions[predictions["part"] == "test"].set_index("material_id")["bulk_modulus_predicted"]
    again = pd.read_csv("predictions.csv").set_index("material_id")["bulk_modulus"]
    np.testing.assert_allclose(again[told.index], told, rtol=1e-4)


def test_help_names_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for command in ("fit", "validate", "test", "predict", *COMMANDS):
        assert f"\n  {command} " in shown
    assert run() == 2


@pytest.mark.parametrize("command", [name for name, command in COMMANDS.items() if callable(command)])
def test_help_explains_every_argument(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.partition("positional arguments:")[2].split())
    positional, _, options = shown.partition("options:")
    for name, parameter in inspect.signature(COMMANDS[command]).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert re.search(rf"--{name}\+? \S+ [^(-]", options), name
        else:
            assert re.search(rf"\b{name} [^(]", positional), name


# Data of one's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(WRITERS))
def test_own_data_in_every_format(kind: str, run: Run, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    id_column = [] if kind in ("csv", "folder") else ["--data.id_column", "name"]
    assert run("fit", *small(), "--data.path", path, "--data.target", "bulk_modulus", *id_column) == 0
    rows = pd.read_csv(run_folder() / "predictions.csv").set_index("material_id")
    _, table = crystals()
    expected = table.set_index("name")["bulk_modulus"]
    assert set(rows.index) == set(expected.index)
    np.testing.assert_allclose(rows["bulk_modulus"], expected[rows.index], rtol=1e-6)

    assert run("predict", "--ckpt_path", checkpoint(), "--data.path", path, *id_column) == 0
    assert list(pd.read_csv("predictions.csv")["material_id"]) == list(expected.index)


def test_published_splits_are_kept(run: Run, own: list[str], tmp_path: Path) -> None:
    names = list(crystals()[1]["name"])
    parts = {"train": names[:12], "val": names[12:15], "test": names[15:]}
    (tmp_path / "splits.json").write_text(json.dumps({"7": parts}))
    splits = ["--data.splits", tmp_path / "splits.json", "--data.split"]
    assert run("fit", *small(), *own, *splits, 7) == 0
    rows = pd.read_csv(run_folder() / "predictions.csv").groupby("part")["material_id"].agg(list)
    assert rows.to_dict() == parts
    assert run("fit", *small(), *own, *splits, 8) == 1


def test_several_targets_and_a_config_that_repeats_the_run(run: Run, tmp_path: Path) -> None:
    path = write_parquet(tmp_path)
    table = pd.read_parquet(path)
    table["half"] = table["bulk_modulus"].where(table.index % 3 > 0) / 2
    table.to_parquet(path)
    targets = ["--data.path", path, "--data.target", "[bulk_modulus,half]", "--data.id_column", "name"]
    assert run("fit", *small(), *targets) == 0
    rows = pd.read_csv(run_folder() / "predictions.csv")
    assert rows["half"].isna().sum() == 7
    assert rows[["bulk_modulus_predicted", "half_predicted"]].notna().all(axis=None)
    assert {path.name for path in run_folder().glob("parity*")} == {"parity_bulk_modulus.png", "parity_half.png"}
    config = ["--config", run_folder() / "config.yaml"]
    assert run("fit", *config) == 0
    assert run("test", *config, "--ckpt_path", checkpoint()) == 0
    again = pd.read_csv(run_folder(version=1) / "predictions.csv")
    pd.testing.assert_frame_equal(again, rows)
    tested = pd.read_csv(run_folder("own_test") / "predictions.csv")
    pd.testing.assert_frame_equal(tested, rows[rows["part"] == "test"].reset_index(drop=True), rtol=1e-5)


def test_predict_streams_many_rows_in_their_order(run: Run, own: list[str], tmp_path: Path) -> None:
    assert run("fit", *small(), *own) == 0
    table = pd.read_parquet(own[1])
    many = pd.concat([table] * 40, ignore_index=True).sample(frac=1, random_state=0, ignore_index=True)
    many = many.assign(original=many["name"], name=[f"row {number}" for number in range(len(many))])
    many.drop(columns="bulk_modulus").to_parquet(tmp_path / "many.parquet")
    arguments = ["--ckpt_path", checkpoint(), "--data.path", tmp_path / "many.parquet", "--data.id_column", "name"]
    Path("config.yaml").write_text("mine")
    assert run("predict", *arguments, "--output", "out/many.csv") == 0
    rows = pd.read_csv("out/many.csv")
    assert list(rows["material_id"]) == list(many["name"])
    told = pd.read_csv(run_folder() / "predictions.csv")
    told = told[told["part"] == "test"].set_index("material_id")["bulk_modulus_predicted"]
    of_original = rows["bulk_modulus"].groupby(many["original"]).agg(["min", "max"]).loc[told.index]
    np.testing.assert_allclose(of_original["min"], told, rtol=1e-4)
    np.testing.assert_allclose(of_original["max"], told, rtol=1e-4)
    assert (rows["bulk_modulus_std"] > 0).all()
    assert sorted(path.name for path in Path().iterdir()) == ["config.yaml", "out", "runs"]
    assert Path("config.yaml").read_text() == "mine"


def test_embed_writes_what_the_expert_says(run: Run, own: list[str]) -> None:
    assert run("embed", own[1], "--id_column", "name", "--experts", "[magpie,structure_features]") == 0
    structures, table = crystals()
    rows = pq.read_table("embeddings.parquet").to_pandas()
    assert list(rows["material_id"]) == list(table["name"])
    for tag in ("magpie", "structure_features"):
        expected = load_expert(tag).embed(structures)
        np.testing.assert_allclose(np.stack(rows[tag].tolist()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("command", ["fit", "predict", "embed"])
def test_a_bad_crystal_stops_or_is_listed(
    command: str, run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path / "bad")
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    mixed.to(filename=str(path.parent / "cif" / "Na.cif"))
    if command == "predict":
        assert run("fit", *small(), *own) == 0
        arguments = ["predict", "--ckpt_path", checkpoint(), "--data.path", path]
    elif command == "fit":
        arguments = ["fit", *small(), "--data.path", path, "--data.target", "bulk_modulus"]
    else:
        arguments = ["embed", path, "--experts", "magpie"]
    option = "--on_error" if command == "embed" else "--data.on_error"
    capsys.readouterr()
    assert run(*arguments) == 1
    problem = capsys.readouterr().err.splitlines()[-1]
    assert "crystal 'Na'" in problem
    assert "disordered" in problem
    assert not Path("predictions.csv").exists()
    assert not Path("embeddings.parquet").exists()

    assert run(*arguments, option, "skip") == 0
    shown = capsys.readouterr().out
    assert "Na" in shown
    assert "disordered" in shown
    if command == "fit":
        (version,) = (path.parent for path in Path("runs").glob("own/*/left_out.csv"))
        (row,) = pd.read_csv(version / "left_out.csv").to_dict("records")
        assert row["material_id"] == "Na"
        assert "disordered" in row["reason"]
        assert len(pd.read_csv(version / "predictions.csv")) == N_CRYSTALS - 1
    elif command == "predict":
        assert len(pd.read_csv("predictions.csv")) == N_CRYSTALS - 1


# Interrupted runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_a_killed_run_ends_where_an_uninterrupted_one_does(head: str, run: Run, own: list[str]) -> None:
    # Few rows and a quick network: the best epoch lies before the kill, and must not be forgotten.
    settings = {"kernel": {}, "mlp": {"model.learning_rate": 0.02, "data.batch_size": 5, "data.split": 1}}[head]
    arguments = ["fit", *small(**{"model.head": head, "trainer.max_epochs": 24, **settings}), *own]
    assert run(*arguments) == 0
    killed = shell(
        *arguments,
        *("--trainer.callbacks", "test_cli.Killed", "--trainer.callbacks.epoch", 16),
        PYTHONPATH=str(Path(__file__).parent),
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = run_folder(version=1) / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] == 15
    assert run(*arguments, "--ckpt_path", last) == 0

    (whole, resumed) = (run_folder(version=version) for version in (0, 2))
    log = pd.read_csv(whole / "metrics.csv")
    assert log.loc[log["val_mae"].idxmin(), "epoch"] < 15
    for name in ("last.ckpt", "best.ckpt"):
        expected, state = (
            torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"] for folder in (whole, resumed)
        )
        assert expected.keys() == state.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=1e-6, atol=1e-6)
    expected, rows = (pd.read_csv(folder / "predictions.csv") for folder in (whole, resumed))
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-6)


# Settings -------------------------------------------------------------------------------------------------------------


def test_configs_merge_in_their_order(run: Run, own: list[str], tmp_path: Path) -> None:
    first = {"model": {"head": "mlp", "hidden": [7], "loss": "mse"}, "trainer": {"max_epochs": 2}}
    second = {"model": {"hidden": [5, 4]}}
    for number, content in enumerate([first, second]):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(content))
    configs = ["--config", tmp_path / "0.yaml", "--config", tmp_path / "1.yaml"]
    assert run("fit", *configs, "--model.loss=mae", "--model.experts=magpie", "--trainer.accelerator=cpu", *own) == 0
    settings = torch.load(checkpoint(), weights_only=True)["hyper_parameters"]
    assert (settings["head"], list(settings["hidden"]), settings["loss"]) == ("mlp", [5, 4], "mae")
    assert len(pd.read_csv(run_folder() / "metrics.csv")["epoch"].unique()) == 2


def test_metrics_go_to_a_csv_file_by_default(run: Run, own: list[str]) -> None:
    assert run("fit", *small(), *own) == 0
    log = pd.read_csv(run_folder() / "metrics.csv")
    assert log["train_loss"].notna().sum() == 3
    for column in ("val_mae", "val_rmse", "val_r2"):  # the kernel head validates every fifth epoch, or the last one
        assert log[column].notna().sum() == 1


@pytest.mark.skipif(not find_spec("tensorboard"), reason="tensorboard is not installed")
def test_another_logger_by_name(run: Run, own: list[str]) -> None:
    logger = ["--trainer.logger", "TensorBoardLogger", "--trainer.logger.save_dir", "board"]
    assert run("fit", *small(), *own, *logger) == 0
    assert list(Path("board").rglob("events.out.tfevents.*"))
    assert list(Path("board").rglob("metrics.json"))


@pytest.mark.parametrize("experts", ["toy", "reference"])
def test_the_published_recipe(experts: str, run: Run, own: list[str], tmp_path: Path) -> None:
    if experts == "reference":
        files = sorted(REFERENCE_EXPERTS.glob("mp_*.safetensors"))
        if not files:
            pytest.skip("no reference_experts beside MOE_MAT_DATA")
        assert run("experts", "import", *files, "--folder", "zoo", "--ties", "order") == 0
        folder = Path("zoo")
    else:
        folder = tmp_path / "zoo"
        for number in range(5):
            cgcnn_expert(folder, f"toy{number}", seed=number)
    arguments = ["--config", CONFIGS / "published.yaml", "--model.experts", folder, "--trainer.accelerator=cpu"]
    assert run("fit", *arguments, *own, "--trainer.max_epochs=3", "--model.top_k=2") == 0
    saved = torch.load(checkpoint(), weights_only=True)
    settings, state = saved["hyper_parameters"], saved["state_dict"]
    assert (settings["orthogonality"], settings["learning_rate"], settings["tuning_rate"]) == (
        0.01,
        0.01,
        0.005,
    )
    assert [group["lr"] for group in saved["optimizer_states"][0]["param_groups"]]
    layers = [value for name, value in state.items() if "head.network." in name and name.endswith("weight")]
    assert [len(layer) for layer in layers] == [32, 32, 1]
    assert any("tuned.convolutions" in name for name in state)
    weights = pd.read_csv(run_folder() / "gate_weights.csv")["weight"]
    assert (weights > 0).sum() == 2
    assert run("predict", "--ckpt_path", checkpoint(), *own[:2], *own[4:]) == 0
    told = pd.read_csv(run_folder() / "predictions.csv").set_index("material_id")["bulk_modulus_predicted"]
    again = pd.read_csv("predictions.csv").set_index("material_id")["bulk_modulus"]
    np.testing.assert_allclose(again[told.index], told, rtol=1e-4)


# What is refused ------------------------------------------------------------------------------------------------------


class Payload:
    """A pickle that runs code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def hostile_checkpoint(kind: str, good: Path, marker: Path) -> bytes:
    if kind == "pickle":
        return pickle.dumps(Payload(marker))
    if kind == "payload beside the weights":
        content = torch.load(good, weights_only=True)
        torch.save(content | {"callbacks": {"payload": Payload(marker)}}, good)
        return good.read_bytes()
    if kind == "truncated":
        return good.read_bytes()[:-4000]
    if kind == "web page":
        return b"<!DOCTYPE html><html><body>403 Forbidden</body></html>"
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, good)
    return good.read_bytes()


@pytest.mark.parametrize(
    "kind", ["pickle", "payload beside the weights", "truncated", "web page", "somebody else's model"]
)
def test_hostile_checkpoints_are_refused(
    kind: str, run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", *small(), *own) == 0
    marker, file = tmp_path / "the payload ran", tmp_path / "got.ckpt"
    file.write_bytes(hostile_checkpoint(kind, checkpoint(), marker))
    capsys.readouterr()
    for command in (["predict", *own[:2]], ["test", *own], ["fit", *small(), *own]):
        assert run(*command, "--ckpt_path", file) == 1
        problem = capsys.readouterr().err.splitlines()[-1]
        assert problem.startswith(f"moe-mat {command[0]}: {file} is ")
        assert "weights_only" not in problem  # torch advises to load without the safeguard
        assert not marker.exists()


def test_a_checkpoint_of_experts_that_changed_is_refused(
    run: Run, own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "zoo"
    cgcnn_expert(folder, "toy")
    assert run("fit", *small(**{"model.experts": folder}), *own) == 0
    cgcnn_expert(folder, "toy", seed=1)
    capsys.readouterr()
    assert run("predict", "--ckpt_path", checkpoint(), *own[:2]) == 1
    assert "trained on other versions of these experts: toy" in capsys.readouterr().err
    assert not Path("predictions.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["fti"], 1, "did you mean 'fit'"),
        (["fit", "--data.path", "missing.csv", "--data.target", "y"], 1, "no file or folder missing.csv"),
        (["fit", "OWN", "--data.target", "bulk_modulos"], 1, "no column 'bulk_modulos': did you mean 'bulk_modulus'"),
        (["fit", "OWN", "--data.target", "name"], 1, "is not a number"),
        (["fit", "OWN"], 1, "name its column with --data.target"),
        (["fit", "OWN", "--data.dataset", "dcdft"], 1, "choose one"),
        (["fit", "--data.dataset", "no_such_set", "--data.target", "y"], 1, "no matminer data set 'no_such_set'"),
        (["fit", "OWN", "--data.target", "bulk_modulus", "--model.experts", "magpi"], 1, "Did you mean magpie"),
        (["fit", "OWN", "--data.target", "bulk_modulus", "--model.n_gates", "0"], 1, "n_gates is 0"),
        (["fit", "OWN", "--data.target", "bulk_modulus", "--data.fractions", "[0.5,0.1,0.1]"], 1, "sum to 1"),
        (["fit", "--model.hed", "mlp"], 2, "--model.hed"),
        (["fit", "--model.head", "tree"], 2, "model.head"),
        (["fit", "--config", "missing.yaml"], 2, "missing.yaml"),
        (["fit", "--config", "UNKNOWN_KEY"], 2, "hiden"),
        (["fit", "--config", "NO_YAML"], 2, "config"),
        (["test"], 1, "--ckpt_path"),
        (["predict", "--ckpt_path", "missing.ckpt", "OWN"], 1, "missing.ckpt"),
        (["predict", "--data.path", "x"], 1, "--ckpt_path"),
        (["embed", "missing.csv"], 1, "no file or folder missing.csv"),
        (["experts", "show", "magpi"], 1, "Did you mean magpie"),
        (["experts", "import", "missing.pth.tar", "--folder", "zoo"], 1, "no file missing.pth.tar"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str],
    status: int,
    problem: str,
    run: Run,
    own: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "unknown.yaml").write_text("model: {hiden: [3]}")
    (tmp_path / "no.yaml").write_text("model: [")
    words = {
        "OWN": [f"--data.path={own[1]}", "--data.id_column=name"],
        "UNKNOWN_KEY": [str(tmp_path / "unknown.yaml")],
        "NO_YAML": [str(tmp_path / "no.yaml")],
    }
    assert run(*(part for word in arguments for part in words.get(word, [word]))) == status
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"moe-mat {arguments[0]}: ")
    assert problem in line
    assert not Path("runs").exists() or not list(Path("runs").rglob("best.ckpt"))


# Experts and cache ----------------------------------------------------------------------------------------------------


def test_experts_are_listed_shown_and_verified(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "zoo"
    card = cgcnn_expert(folder, "toy")
    assert run("experts", "list", "--folder", folder) == 0
    assert "toy" in capsys.readouterr().out
    assert run("experts", "show", folder) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(card.path.read_text())
    assert run("experts", "verify", folder) == 0
    assert capsys.readouterr().out.split() == ["ok", "toy"]
    assert card.weights_file is not None
    card.weights_file.write_bytes(card.weights_file.read_bytes()[:-8])
    assert run("experts", "verify", folder, "magpie") == 1
    shown = capsys.readouterr()
    assert "FAILED  toy" in shown.out
    assert "ok      magpie" in shown.out
    assert "1 experts failed: toy" in shown.err


def test_the_cache_is_listed_and_cleared(
    run: Run, own: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOE_MAT_CACHE", str(tmp_path / "another cache"))
    assert run("embed", own[1], "--experts", "magpie") == 0
    assert run("cache", "list") == 0
    assert "expert: magpie" in capsys.readouterr().out
    assert run("cache", "clear") == 0
    assert "20 embeddings removed" in capsys.readouterr().out
