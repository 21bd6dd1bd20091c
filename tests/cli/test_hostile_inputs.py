"""Files that would fill the memory, and crystals that one expert cannot represent, as the command meets them."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals

from cli.own_runs import Run, checkpoint, crystals, run_folder, small

ROCKSALT = reference_crystals()["NaCl rocksalt"]
MOST_BYTES = 6 * 2**30  # of addresses, of which imports reserve half
LAUGHS = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def bounded(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call the command in a process of its own, with little memory."""
    return subprocess.run(
        [sys.executable, "-m", "moe_mat", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES)),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good crystals and hostile ones."""
    folder = tmp_path / "crystals"
    folder.mkdir()
    for name, structure in reference_crystals().items():
        structure.to(str(folder / f"{name.split()[0]}.vasp"), fmt="poscar")
    for length in (0.56, 0.7):
        small_cell = Structure(Lattice.cubic(length), ROCKSALT.species, ROCKSALT.frac_coords)
        small_cell.to(str(folder / f"tiny{length}.vasp"), fmt="poscar")
    (folder / "bomb.cif.gz").write_bytes(gzip.compress(b" " * 2**28))
    (folder / "brackets.json").write_text("[" * 200_000)
    return folder


def test_hostile_files_are_named_and_the_others_are_embedded(folder: Path) -> None:
    result = bounded(
        "embed", folder, "--experts", "[magpie,chgnet_conv1]", "--on_error", "skip", "--output", "o.parquet"
    )
    assert result.returncode == 0, result.stderr
    embedded = pq.read_table("o.parquet", columns=["material_id"])["material_id"].to_pylist()
    assert len(embedded) == len({name.split()[0] for name in reference_crystals()})
    said = result.stdout + result.stderr
    for name in ("tiny0.56", "tiny0.7", "bomb.cif.gz", "brackets.json"):
        assert name in said
    assert "not in nm" in said


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("card.yaml", LAUGHS, ["experts", "show", "./card.yaml"]),
        ("fit.yaml", LAUGHS, ["fit", "--config", "fit.yaml"]),
        ("deep.json", "[" * 200_000, ["embed", "deep.json", "--experts", "magpie"]),
        ("semicolons.csv", "file;gap\na.cif;5,0\n", ["embed", "semicolons.csv", "--experts", "magpie"]),
    ],
)
def test_bombs_end_in_a_line(name: str, content: str, command: list[str]) -> None:
    Path(name).write_text(content)
    result = bounded(*command)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    assert name in result.stderr.splitlines()[-1]


# Elements that one expert does not know


@pytest.fixture
def polonium(tmp_path: Path) -> list[str]:
    """Data with a crystal that CHGNet does not know; Magpie's table does."""
    structures, table = crystals()
    structures = [*structures, Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])]
    table = pd.concat([table, pd.DataFrame({"name": ["Po"], "bulk_modulus": [40.0]})], ignore_index=True)
    records = table.assign(structure=[one.as_dict() for one in structures]).to_dict("records")
    (tmp_path / "own.json").write_text(json.dumps(records))
    (tmp_path / "new.json").write_text(json.dumps(records[-2:]))
    experts = ["--model.experts", "[magpie,chgnet_conv1]", "--trainer.max_epochs", "3"]
    return [str(tmp_path / "own.json"), "--data.id_column", "name", "--data.target", "bulk_modulus", *experts]


def test_an_expert_that_does_not_know_an_element_is_left_out_where_asked(
    polonium: list[str], run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("fit", *polonium) == 1
    said = capsys.readouterr().err
    assert "Po" in said
    assert "on_unknown_element: drop_expert" in said
    assert run("fit", *polonium, "--data.on_unknown_element", "drop_expert") == 0
    line = "expert chgnet_conv1 is left out, because it does not know Po (in 1 crystals)"
    assert line in " ".join(capsys.readouterr().out.split())
    folder = sorted(Path("runs/own").iterdir())[-1]
    assert line in json.loads((folder / "metrics.json").read_text())["warnings"]
    assert pd.read_csv(folder / "gate_weights.csv")["expert"].tolist() == ["magpie"]
    assert "Po" in pd.read_csv(folder / "predictions.csv")["material_id"].tolist()
    best = folder / "checkpoints" / "best.ckpt"
    assert run("predict", tmp_path / "new.json", "--data.id_column", "name", "--ckpt_path", best) == 0
    assert pd.read_csv("predictions.csv")["material_id"].tolist()[-1] == "Po"
    assert run("test", "--config", folder / "config.yaml", "--ckpt_path", best) == 0


@pytest.mark.parametrize("given", [[], ["--data.on_unknown_element", "drop_expert"]])
def test_a_fitted_model_needs_all_its_experts(
    given: list[str], polonium: list[str], run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("fit", *polonium, "--data.on_error", "skip") == 0
    new = ["predict", tmp_path / "new.json", "--data.id_column", "name", "--ckpt_path", checkpoint(), *given]
    assert run(*new) == 1
    assert "'Po'" in capsys.readouterr().err
    assert run(*new, "--data.on_error", "skip") == 0
    assert len(pd.read_csv("predictions.csv")) == 1


def test_a_target_is_called_by_its_name(own: list[str], run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(own[1]).to_pandas()
    table["bulk_modulus"] -= 500
    table.to_parquet(own[1])
    assert run("fit", *small(**{"model.target_transform": "log"}), *own) == 1
    assert "target bulk_modulus has 14 training values that are not positive" in capsys.readouterr().err
    assert not run_folder().exists()
