"""The encoders under test, and how their features are read off a batch of crystals."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pymatgen.core import Lattice, Structure
from strategies import reference_crystals
from torch import Tensor

from moe_mat.encoders import TENSOR_STATISTICS, Encoder, get_encoder, pool, pool_tensors

CRYSTALS = reference_crystals() | {
    "isolated atoms": Structure(Lattice.cubic(22), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
}
WEIGHTS = Path(os.environ.get("MOE_MAT_DATA", "shared/data")).parent / "weights" / "matgl"


@dataclass(frozen=True)
class Case:
    """One encoder under test.

    Attributes:
        tolerance: Relative to the largest value of a layer over all crystals.
        package: What it needs that is optional.
        examples: Two crystals that it tells apart.
    """

    encoder: str
    settings: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5
    package: str | None = None
    frozen: bool = True
    examples: tuple[str, str] = ("Si diamond", "ZnS zincblende")

    def skip_if_missing(self) -> None:
        if self.package and importlib.util.find_spec(self.package) is None:
            pytest.skip(f"the optional package {self.package} is not installed")
        folder = self.settings.get("model", "")
        if self.encoder == "matgl" and not Path(folder).is_dir():
            pytest.skip(f"the MatGL weights {folder} are not there")


def matgl_case(folder: str) -> Case:
    return Case("matgl", {"model": str(WEIGHTS / folder)}, package="matgl")


CASES = {
    "cgcnn": Case("cgcnn", {"ties": "canonical"}, frozen=False),
    "chgnet": Case("chgnet"),
    "chgnet-r2scan": Case("chgnet", {"model": "r2scan"}),
    "sevennet": Case("sevennet"),
    "sevennet-l3i5": Case("sevennet", {"checkpoint": "7net-l3i5"}),
    "sevennet-mf-0": Case("sevennet", {"checkpoint": "7net-mf-0"}),
    "tensornet": matgl_case("TensorNet-MatPES-PBE-v2025.1-PES"),
    "m3gnet": matgl_case("M3GNet-MatPES-PBE-v2025.1-PES"),
    "qet": matgl_case("QET-MatQ-PES"),
    "descriptors": Case("descriptors", tolerance=1e-6),
    "elements": Case("elements", tolerance=1e-6),
    "local_environment": Case("local_environment", tolerance=1e-6),
    "layer_stack": Case("layer_stack", tolerance=1e-4, examples=("graphene in vacuum", "MoS2 layered")),
    "elasticity": Case("elasticity", {"potential": "7net-0"}, tolerance=3e-3),
    "polar_springs": Case("polar_springs", tolerance=1e-5),
    "elasticity-chgnet": Case("elasticity", {"potential": "chgnet"}, tolerance=3e-3),
}


@cache
def load(name: str) -> Encoder:
    CASES[name].skip_if_missing()
    torch.manual_seed(0)
    return get_encoder(CASES[name].encoder)(**CASES[name].settings).eval()


def pooled(encoder: Encoder, structures: list[Structure]) -> dict[str, Tensor]:
    """Every layer of a batch of crystals, atoms pooled by mean and spread, or by norms where they turn."""
    with torch.no_grad():
        features = encoder(encoder.collate([encoder.prepare(structure) for structure in structures]))
    index, n = features.crystal_of_node, features.n_crystals
    atoms = {layer: pool(x, index, n, statistics=["mean", "std"]) for layer, x in features.nodes.items()}
    tensors = {
        layer: pool_tensors(x, index, n, statistics=TENSOR_STATISTICS, centrosymmetric=features.centrosymmetric)
        for layer, x in features.tensors.items()
    }
    return atoms | tensors | features.crystals
