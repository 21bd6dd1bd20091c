"""How the command line reads YAML, in files and behind options: as jsonargparse does, and within bounds."""

from __future__ import annotations

import yaml
from jsonargparse import get_loader, set_loader

from moe_mat.files.documents import check_yaml

_load = get_loader("yaml")


def bound_configs() -> None:
    """Refuse YAML that is not of a size that a person would write; it would take hours and all memory."""
    set_loader("yaml", _load_checked, exceptions=(yaml.YAMLError,))


def _load_checked(text: str) -> object:
    check_yaml(text)
    return _load(text)
