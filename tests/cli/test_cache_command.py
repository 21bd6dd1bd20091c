"""The cache as a command meets it: on a network, damaged, of an older version; each in a process of its own."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cli.shells import shell

# The mounts are read from another file; all else is the command as it is.
ON_A_NETWORK = """
import sys
from pathlib import Path
from moe_mat.files import mounts
mounts.MOUNTS = Path(sys.argv.pop(1))
from moe_mat.cli.main import main
sys.exit(main())
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "a cache"


def embed(own: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    return shell("embed", own[1], "--experts=[magpie,symmetry]", MOE_MAT_CACHE=str(cache), COLUMNS="1000")


def vectors() -> np.ndarray:
    rows = pq.read_table("embeddings.parquet").to_pandas()
    return np.concatenate([np.stack(rows[tag].tolist()) for tag in ("magpie", "symmetry")], axis=1)


def test_a_folder_on_a_network_is_left_alone(own: list[str], cache: Path, tmp_path: Path) -> None:
    assert embed(own, cache).returncode == 0
    expected = vectors()
    shared = tmp_path / "shared folder"
    (tmp_path / "mounts").write_text(f"server:/x {str(tmp_path).replace(' ', chr(92) + '040')} nfs4 rw 0 0\n")
    done = subprocess.run(
        [sys.executable, "-c", ON_A_NETWORK, tmp_path / "mounts", "embed", own[1], "--experts=[magpie,symmetry]"],
        capture_output=True,
        text=True,
        env={**os.environ, "MOE_MAT_CACHE": str(shared), "COLUMNS": "1000"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "network file system" in line]
    assert f"(nfs4, mounted at {tmp_path})" in warning
    assert "Set MOE_MAT_CACHE to a folder" in warning
    assert not list(shared.glob("*.sqlite3*"))
    np.testing.assert_array_equal(vectors(), expected)


def test_a_damaged_file_is_set_aside_and_replaced(own: list[str], cache: Path) -> None:
    assert embed(own, cache).returncode == 0
    expected = vectors()
    file = cache / "layers-1.sqlite3"
    file.write_bytes(file.read_bytes()[:20000])
    done = embed(own, cache)
    assert done.returncode == 0
    assert "is damaged" in done.stderr
    np.testing.assert_array_equal(vectors(), expected)
    assert sorted(path.name for path in cache.glob("layers*")) == ["layers-1.sqlite3.damaged", "layers-2.sqlite3"]


def test_damage_to_one_row_costs_that_row(own: list[str], cache: Path) -> None:
    assert embed(own, cache).returncode == 0
    expected = vectors()
    connection = sqlite3.connect(cache / "layers-1.sqlite3")
    connection.execute("UPDATE entries SET data = zeroblob(length(data)) WHERE crystal = 7 AND pass = 1")
    connection.commit()
    connection.close()
    done = embed(own, cache)
    assert "1 entries do not match their checksums and are computed anew" in done.stderr
    np.testing.assert_array_equal(vectors(), expected)
    assert [path.name for path in cache.glob("layers*")] == ["layers-1.sqlite3"]


def test_the_cache_of_version_0_1_is_named_and_cleared(own: list[str], cache: Path) -> None:
    cache.mkdir()
    old = cache / "embeddings-1.sqlite3"
    old.write_bytes(bytes(2_000_000))
    assert embed(own, cache).returncode == 0
    listed = shell("cache", "list", MOE_MAT_CACHE=str(cache)).stdout
    assert re.search(r"^ *descriptors +magpie +20 ", listed, flags=re.M)
    assert "embeddings-1.sqlite3: 2.0 MB of version 0.1, no longer read; moe-mat cache clear removes it" in listed
    assert old.stat().st_size == 2_000_000
    assert "embeddings removed" in shell("cache", "clear", MOE_MAT_CACHE=str(cache)).stdout
    assert not old.exists()
