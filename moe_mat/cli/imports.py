"""Which classes a configuration may name: importing a module runs it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jsonargparse import set_parsing_settings

from moe_mat.cli.grammar import UsageError

KNOWN = ["pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "torch", "moe_mat"]


def allow_imports(modules: Sequence[str]) -> None:
    """Let configurations and options name classes of Lightning, torch and this package, and of some modules.

    Args:
        modules: As ``package.module``; all below them is allowed too.

    Raises:
        UsageError: When one is no such name.
    """
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise UsageError(f"--allow-import {module}: the name of a module is meant, such as my_package.callbacks")
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*KNOWN, *modules])


def denied_import(message: str) -> str | None:
    """What to say when the parser has refused to import a class; None for other problems."""
    found = re.search(r"Importing '([\w.]+)' is not allowed", message)
    if found is None:
        return None
    module = found[1].rpartition(".")[0] or found[1]
    return (
        f"{found[1]} is not imported, because that would run code: it is no class of Lightning, torch or moe_mat; if "
        f"you trust it, add --allow-import {module}"
    )
