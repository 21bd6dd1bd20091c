"""Environments of peers, one each: ``python -m benchmarks.peers.environments modnet`` makes one, or makes it anew.

A peer is a folder beside this file, with ``requirements.txt``, pinned, and ``fit.py``, which runs in the environment
and knows nothing of the package.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from moe_mat.files import cache_folder

PEERS = Path(__file__).parent


def list_peers() -> list[str]:
    """The names of the peers."""
    return sorted(path.parent.name for path in PEERS.glob("*/requirements.txt"))


def folder_of(peer: str) -> Path:
    """Where a peer has its environment, ``environment``, and what it keeps beside that."""
    return cache_folder() / "peers" / peer


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment.

    Raises:
        FileNotFoundError: there is no such environment yet.
    """
    python = folder_of(peer) / "environment" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.is_file():
        raise FileNotFoundError(
            f"{peer} has no environment in {folder_of(peer)}: python -m benchmarks.peers.environments {peer}"
        )
    return python


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the environment of a peer."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.environments",
        description="Make the environment of a peer in the cache folder.",
    )
    parser.add_argument("peer", choices=list_peers())
    parser.add_argument("--python", default=sys.executable, help="interpreter, of a version that the pins allow")
    options = parser.parse_args(arguments)
    place = folder_of(options.peer) / "environment"
    subprocess.run([options.python, "-m", "venv", "--clear", str(place)], check=True)
    requirements = PEERS / options.peer / "requirements.txt"
    subprocess.run([str(python_of(options.peer)), "-m", "pip", "install", "-r", str(requirements)], check=True)


if __name__ == "__main__":
    main()
