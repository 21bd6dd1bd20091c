"""SevenNet-0: equivariant message passing (Park et al., J. Chem. Theory Comput. 20, 4857, 2024), frozen."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.crystals.checks import check_elements
from moe_mat.encoders.base import Encoder, Features, pool
from moe_mat.encoders.registry import register_encoder
from moe_mat.graphs.radius import (
    RadiusBatch,
    RadiusGraph,
    batch_radius_graphs,
    radius_graph,
    radius_graph_memory,
)

CHECKPOINT = "7net-0"  # the release of July 2024, which ships in the wheel
BONDS_AT_ONCE = 1024


@register_encoder("sevennet")
class SevenNetEncoder(Encoder):
    """SevenNet-0 with the weights that ship in the sevenn package; no download, no autograd, no forces.

    Layers: the scalar (l = 0) channels of the atom features, ``embedding`` and ``layer1`` to ``layer5``; the vectors
    and tensors beside them turn with the crystal and are left out. Of the crystal, ``energy`` (eV/atom). The cutoff is
    smooth, so that no tie rule is needed, and an atom without neighbours works.

    sevenn reads its own checkpoint, a pickle, without ``weights_only``: it is as trustworthy as the code it is
    installed with, and no other file can be named here.

    Raises:
        ImportError: When sevenn is not installed.
    """

    model: Any
    types: Tensor

    def __init__(self) -> None:
        super().__init__()
        try:
            from sevenn.util import load_checkpoint
        except ImportError as error:
            raise ImportError("SevenNet needs the sevenn package: pip install moe_mat[foundation]") from error

        checkpoint = load_checkpoint(CHECKPOINT)
        self.model = checkpoint.build_model()
        self.model.delete_module_by_key("force_output")
        self.model.eval().requires_grad_(False)
        self.cutoff = float(checkpoint.config["cutoff"])
        self.type_of_element: dict[int, int] = dict(self.model.type_map)
        types = torch.full((max(self.type_of_element) + 1,), -1)
        types[list(self.type_of_element)] = torch.tensor(list(self.type_of_element.values()))
        self.register_buffer("types", types, persistent=False)

        # Which module completes which layer, and how many of its channels are scalars (they come first).
        self._completes = {"onehot_to_feature_x": "embedding"}
        self._widths = {"embedding": self.model.onehot_to_feature_x.linear.irreps_out.count("0e")}
        for i in range(checkpoint.config["num_convolution_layer"]):
            gate = f"{i}_equivariant_gate"
            self._completes[gate] = f"layer{i + 1}"
            self._widths[f"layer{i + 1}"] = self.model.get_submodule(gate).gate.irreps_out.count("0e")

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return dict(self._widths)

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return {"energy": 1}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return ("radius", self.cutoff, frozenset(self.type_of_element))

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return self.type_of_element.keys()

    def prepare(self, structure: Structure) -> RadiusGraph:  # noqa: D102
        check_elements(structure, known=self.type_of_element, encoder="SevenNet-0")
        return radius_graph(structure, cutoff=self.cutoff)

    def memory(self, sample: RadiusGraph) -> int:  # noqa: D102
        return radius_graph_memory(sample)

    def collate(self, samples: list[RadiusGraph]) -> RadiusBatch:  # noqa: D102
        return batch_radius_graphs(samples)

    def forward(self, batch: RadiusBatch) -> Features:  # noqa: D102
        data: dict[str, Tensor] = {
            "x": self.types[batch.atomic_numbers],
            "edge_index": batch.bonds,
            "edge_vec": batch.vectors,
            "batch": batch.crystal_of_node,
        }
        layers = {}
        for name, module in self.model.named_children():
            data = self.convolve(module, data) if name.endswith("_convolution") else module(data)
            if name in self._completes:
                layer = self._completes[name]
                layers[layer] = data["x"][:, : self._widths[layer]]
        energy = pool(data["atomic_energy"], batch.crystal_of_node, batch.n_crystals, statistics=["mean"])
        return Features(layers, batch.crystal_of_node, batch.n_crystals, {"energy": energy})

    def convolve(self, convolution: nn.Module, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum the messages of all bonds, slice by slice, so that the products stay in the CPU's cache."""
        per_bond = {"edge_index": 1, "edge_embedding": 0, "edge_attr": 0}
        size = BONDS_AT_ONCE if data["x"].device.type == "cpu" else max(1, len(data["edge_attr"]))
        slices = [data[name].split(size, dim=dim) for name, dim in per_bond.items()]
        parts = (dict(zip(per_bond, values, strict=True)) for values in zip(*slices, strict=True))
        return data | {"x": sum(convolution({"x": data["x"]} | part)["x"] for part in parts)}
