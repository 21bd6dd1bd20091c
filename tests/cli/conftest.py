"""What the tests of the command line share: an empty folder to work in, one cache, and data of one's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.class_runs import class_run  # noqa: F401
from cli.own_runs import Run, write_parquet
from moe_mat.cli.main import main


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache_folder(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the empty cache that every other test gets: each crystal is embedded once, as for a user."""
    monkeypatch.setenv("MOE_MAT_CACHE", str(shared_cache))
    return shared_cache


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


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """What ``fit`` is told of data of one's own."""
    return ["--data.path", str(write_parquet(tmp_path)), "--data.target", "bulk_modulus", "--data.id_column", "name"]
