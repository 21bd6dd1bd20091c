"""A folder goes on with the work that it belongs to, and with no other: what the work depends on is noted in a file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from moe_mat.files.whole import write_text

NAMED = 3


def claim_folder(path: Path, identity: Mapping[str, object], *, what: str, not_compared: Collection[str] = ()) -> None:
    """Note in a folder what it belongs to, or make sure that it belongs to that.

    Args:
        path: JSON file in the folder that has the identity among its entries.
        identity: What the work depends on, as plain data.
        what: What the folder holds, for messages.
        not_compared: Dotted names of entries that may differ.

    Raises:
        ValueError: When it holds other work, or other files, or the file is damaged; names what differs.
    """
    if path.is_file():
        _check(path, identity, what, not_compared)
    elif path.parent.is_dir() and any(one.suffix != ".part" for one in path.parent.iterdir()):
        raise ValueError(f"--output {path.parent} holds other files and no {path.name}: name a new folder")
    else:
        write_text(path, json.dumps(identity, indent=2))


def _check(path: Path, identity: Mapping[str, object], what: str, not_compared: Collection[str]) -> None:
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        before, now = _flat({key: noted[key] for key in identity}), _flat(json.loads(json.dumps(identity)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged or of another version: name a new folder by --output") from error
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and name not in not_compared]
    if names:
        told = [f"{name} was {before.get(name)} and is {now.get(name)}" for name in names[:NAMED]]
        more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
        raise ValueError(
            f"--output {path.parent} holds another {what} ({'; '.join([*told, *more])}): name a new folder, or repeat "
            "its command"
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings by dotted names."""
    flat: dict[str, object] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
