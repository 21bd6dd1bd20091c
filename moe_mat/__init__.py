"""Mixture-of-experts training for materials-property prediction from few labels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_mat.crystals.readers import read_structures
    from moe_mat.estimator import MoERegressor
    from moe_mat.zoo.experts import load_expert
    from moe_mat.zoo.find import list_experts

__all__ = ["MoERegressor", "list_experts", "load_expert", "read_structures"]

# Imported on first use: torch and Lightning take seconds, and `moe-mat --help` needs neither.
_HOMES = {
    "MoERegressor": "moe_mat.estimator",
    "list_experts": "moe_mat.zoo.find",
    "load_expert": "moe_mat.zoo.experts",
    "read_structures": "moe_mat.crystals.readers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
