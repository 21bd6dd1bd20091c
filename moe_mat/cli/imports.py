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


def class_problem(message: str) -> str | None:
    """What is wrong with a class that is named, out of all that the parser says; None for other problems."""
    text = " ".join(message.split())
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", text):
        module = denied[1].rpartition(".")[0] or denied[1]
        return (
            f"{denied[1]} is not imported, because that would run code: it is no class of Lightning, torch or moe_mat; "
            f"if you trust it, add --allow-import {module}"
        )
    if found := re.search(r"Problem with given class_path '([\w.]+)': (.+?)(?: - Expected a|$)", text):
        return f"{found[1]}: {found[2]}"
    return None
