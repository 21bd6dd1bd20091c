"""The wheel: it holds every room and all data, and works where there is no checkout."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py")
# Folder of the checkout to its folder in the wheel.
PACKAGES = {
    "moe_mat": "moe_mat",
    "experts": "moe_mat/experts",
    "configs": "moe_mat/configs",
    "benchmarks/tasks": "moe_mat/task_cards",
}
KINDS = {".css", ".html", ".js", ".py", ".pyi", ".typed", ".yaml", ".json", ".npz", ".safetensors"}
(VERSION,) = re.findall(r"^version = (\S+)$", (ROOT / "setup.cfg").read_text(encoding="utf-8"), flags=re.M)
IMPORT_ALL = """
import importlib, pathlib, moe_mat
package = pathlib.Path(moe_mat.__file__).parent
for path in sorted(package.rglob("__init__.py")):
    room = importlib.import_module(".".join(["moe_mat", *path.parent.relative_to(package).parts]))
    assert pathlib.Path(room.__file__) == path
    for name in getattr(room, "__all__", []):
        getattr(room, name)
    print(room.__name__)
"""


def call(*command: object, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["SOURCE_DATE_EPOCH"] = "1764115200"
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def build(source: Path, built: Path) -> Path:
    """The wheel of a copy of the checkout, without the benchmark's results."""
    for name in SOURCES:
        shutil.copyfile(ROOT / name, source / name)
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored, copy_function=shutil.copyfile)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", built)
    call(sys.executable, "-m", "pip", "wheel", *options, source, folder=built)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel, which finds what it depends on in this one."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    options = ("--python", programs / "python", "install", "--no-deps", "--no-index")
    call(sys.executable, "-m", "pip", *options, wheel, folder=folder)
    (packages,) = folder.rglob("site-packages")
    # Folders that a .pth names are searched last, and a .pth in them, such as that of a checkout, is not read.
    folders = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(folders), encoding="utf-8")
    return programs


def test_the_wheel_holds_code_stubs_cards_weights_and_configurations(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in PACKAGES.items():
        files = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.suffix in KINDS]
        scripts = [
            path for path in files if folder != "moe_mat" and path.suffix == ".py" and path.name != "__init__.py"
        ]
        expected = {f"{inside}/{path.as_posix()}" for path in files if path not in scripts}
        assert expected
        assert {name for name in expected if not _is_for_the_benchmark(name)} == expected & held


def _is_for_the_benchmark(name: str) -> bool:
    return name.startswith("moe_mat/experts/strict_")


def test_the_wheel_is_small_and_the_same_each_time(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    again = build(tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.mktemp("again"))
    assert hashlib.sha256(again.read_bytes()).hexdigest() == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert wheel.stat().st_size < 60e6


def test_the_version_is_one(wheel: Path) -> None:
    assert wheel.name == f"moe_mat-{VERSION}-py3-none-any.whl"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == VERSION
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d\S*)\]", changes, flags=re.M)
    assert released[0] == VERSION


def test_every_room_is_imported_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    rooms = call(programs / "python", "-c", IMPORT_ALL, folder=tmp_path).split()
    expected = [path.parent.relative_to(ROOT) for path in (ROOT / "moe_mat").rglob("__init__.py")]
    assert {*rooms} == {".".join(path.parts) for path in expected} | {"moe_mat.experts"}


def test_the_command_of_the_wheel(programs: Path, tmp_path: Path) -> None:
    assert call(programs / "moe-mat", "--version", folder=tmp_path) == f"moe-mat {VERSION}\n"
    card = yaml.safe_load(call(programs / "moe-mat", "experts", "show", "magpie", folder=tmp_path))
    assert card["tag"] == "magpie"
