"""Which code wrote something: the commit of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def commit(root: Path = CHECKOUT) -> str | None:
    """The commit of a checkout, ``-dirty`` where files differ; None outside of one.

    Args:
        root: Its folder; by default that of the checkout that this package runs from.
    """
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
