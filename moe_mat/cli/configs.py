"""How the command line reads YAML, in files and behind options: as jsonargparse does, and within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from jsonargparse import get_loader, set_loader

from moe_mat.cli.grammar import UsageError
from moe_mat.files.documents import check_yaml, read_yaml

_load = get_loader("yaml")


def bound_configs(words: Sequence[str]) -> None:
    """Refuse YAML that is not of a size that a person would write; it would take hours and all memory.

    Args:
        words: The command line, whose configurations are looked at first, so that the message names the file.

    Raises:
        UsageError: When one of them is no such YAML.
    """
    set_loader("yaml", _load_checked, exceptions=(yaml.YAMLError,))
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in ("--config", "-c") and (path := Path(value if equals else following)).is_file():
            read_yaml(path, what="configuration", error=UsageError)


def _load_checked(text: str) -> object:
    check_yaml(text)
    return _load(text)
