"""SevenNet: equivariant message passing (Park et al., J. Chem. Theory Comput. 20, 4857, 2024), frozen."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.crystals.checks import check_elements
from moe_mat.encoders.base import Encoder, Features, pool
from moe_mat.encoders.descriptors.inversion import has_inversion_centre
from moe_mat.encoders.registry import register_encoder
from moe_mat.graphs.radius import (
    RadiusBatch,
    RadiusGraph,
    batch_radius_graphs,
    radius_graph,
    radius_graph_memory,
)

# Those that ship in the wheel (7net-0 is the release of July 2024), and, of one that speaks for several functionals,
# which: PBE is what the others speak for already.
CHECKPOINTS = {"7net-0": None, "7net-l3i5": None, "7net-mf-0": "R2SCAN"}
BONDS_AT_ONCE = 1024
WIDTH_OF_7NET_0 = 480  # numbers an atom, in a layer: what `radius_graph_memory` was measured with


@register_encoder("sevennet")
class SevenNetEncoder(Encoder):
    """SevenNet with the weights that ship in the sevenn package; no download, no autograd, no forces.

    Layers: the scalar (l = 0) channels of the atom features, ``embedding`` and ``layer1`` to ``layer5``, and the
    vectors and tensors beside them, ``layer1_tensors`` to ``layer4_tensors``: 64 of l = 1 and 32 of l = 2, of
    7net-l3i5 also 32 of l = 3; ``layer5`` has scalars alone. Of the crystal, ``energy`` (eV/atom). The cutoff is
    smooth, so that no tie rule is needed, and an atom without neighbours works.

    The networks know rotations and no reflections: sevenn labels all channels even (``1e``, ``2e``, ``3e``), but they
    grow from the spherical harmonics of the bonds, which are odd under inversion for odd l. In ``layer1`` every channel
    has this natural parity; from ``layer2`` on about a hundredth of it has the other one, such as axial vectors among
    those of l = 1. Of the mean over a crystal with an inversion centre only that hundredth is left where l is odd:
    `prepare` looks for the centre where tensors are read, and `pool_tensors` makes it zero.

    sevenn reads its own checkpoint, a pickle, without ``weights_only``: it is as trustworthy as the code it is
    installed with, and no other file can be named here.

    Args:
        checkpoint: ``7net-0``; ``7net-l3i5``, with tensors of third degree; or ``7net-mf-0``, which learned PBE and
            r2SCAN and speaks of r2SCAN here.

    Raises:
        ValueError: When there is no such checkpoint in the package.
    """

    moves = True
    model: Any
    types: Tensor

    def __init__(self, *, checkpoint: str = "7net-0") -> None:
        super().__init__()
        if checkpoint not in CHECKPOINTS:
            raise ValueError(f"SevenNet comes with the checkpoints {', '.join(CHECKPOINTS)}, not {checkpoint!r}")
        from sevenn.util import load_checkpoint

        loaded = load_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.model = loaded.build_model()
        self.model.delete_module_by_key("force_output")
        self.model.eval().requires_grad_(False)
        self.functional = (self.model.modal_map or {}).get(CHECKPOINTS[checkpoint])
        self.cutoff = float(loaded.config["cutoff"])
        self.type_of_element: dict[int, int] = dict(self.model.type_map)
        types = torch.full((max(self.type_of_element) + 1,), -1)
        types[list(self.type_of_element)] = torch.tensor(list(self.type_of_element.values()))
        self.register_buffer("types", types, persistent=False)
        self._with_tensors = True

        # Which module completes which layer, and which of its channels are which; scalars come first.
        self._completes = {"onehot_to_feature_x": "embedding"}
        self._channels = {"embedding": self.model.onehot_to_feature_x.linear.irreps_out}
        for i in range(loaded.config["num_convolution_layer"]):
            gate = f"{i}_equivariant_gate"
            self._completes[gate] = f"layer{i + 1}"
            self._channels[f"layer{i + 1}"] = self.model.get_submodule(gate).gate.irreps_out

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return {layer: channels.count("0e") for layer, channels in self._channels.items()}

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return {"energy": 1}

    @property
    def tensor_layers(self) -> dict[str, int]:  # noqa: D102
        counts = {layer: sum(n for n, irrep in channels if irrep.l > 0) for layer, channels in self._channels.items()}
        return {f"{layer}_tensors": count for layer, count in counts.items() if count}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return ("radius", self.cutoff, frozenset(self.type_of_element), *(["inversion"] if self._with_tensors else []))

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return self.type_of_element.keys()

    def only(self, layers: Collection[str]) -> SevenNetEncoder:
        """This encoder with the same weights, which looks for inversion centres where tensors are wanted alone."""
        some = copy(self)
        some._with_tensors = not self.tensor_layers.keys().isdisjoint(layers)
        return some

    def prepare(self, structure: Structure) -> RadiusGraph:  # noqa: D102
        check_elements(structure, known=self.type_of_element, encoder=f"SevenNet ({self.checkpoint})")
        graph = radius_graph(structure, cutoff=self.cutoff)
        return replace(graph, centrosymmetric=has_inversion_centre(structure)) if self._with_tensors else graph

    def memory(self, sample: RadiusGraph) -> int:  # noqa: D102
        return radius_graph_memory(sample) * self._channels["layer1"].dim // WIDTH_OF_7NET_0

    def collate(self, samples: list[RadiusGraph]) -> RadiusBatch:  # noqa: D102
        return batch_radius_graphs(samples)

    def forward(self, batch: RadiusBatch) -> Features:  # noqa: D102
        data: dict[str, Tensor] = {
            "x": self.types[batch.atomic_numbers],
            "edge_index": batch.bonds,
            "edge_vec": batch.vectors,
            "batch": batch.crystal_of_node,
        }
        if self.functional is not None:
            data["modal_type"] = torch.full((batch.n_crystals,), self.functional, device=self.types.device)
        scalars, tensors = {}, {}
        for name, module in self.model.named_children():
            data = self.convolve(module, data) if name.endswith("_convolution") else module(data)
            if layer := self._completes.get(name):
                scalars[layer], *of_degrees = _split(data["x"], self._channels[layer])
                if of_degrees and self._with_tensors:
                    tensors[f"{layer}_tensors"] = tuple(of_degrees)
        energy = pool(data["atomic_energy"], batch.crystal_of_node, batch.n_crystals, statistics=["mean"])
        crystals = {"energy": energy}
        return Features(scalars, batch.crystal_of_node, batch.n_crystals, crystals, tensors, batch.centrosymmetric)

    def convolve(self, convolution: nn.Module, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum the messages of all bonds, slice by slice, so that the products stay in the CPU's cache."""
        per_bond = {"edge_index": 1, "edge_embedding": 0, "edge_attr": 0}
        size = BONDS_AT_ONCE if data["x"].device.type == "cpu" else max(1, len(data["edge_attr"]))
        slices = [data[name].split(size, dim=dim) for name, dim in per_bond.items()]
        parts = (dict(zip(per_bond, values, strict=True)) for values in zip(*slices, strict=True))
        return data | {"x": sum(convolution({"x": data["x"]} | part)["x"] for part in parts)}


def _split(features: Tensor, channels: Any) -> list[Tensor]:
    """Views of the scalars ``[n_atoms, multiplicity]`` and of each degree ``[n_atoms, multiplicity, 2 l + 1]``."""
    parts = features.split([n * irrep.dim for n, irrep in channels], dim=1)
    return [
        part if irrep.l == 0 else part.unflatten(1, (n, irrep.dim))
        for part, (n, irrep) in zip(parts, channels, strict=True)
    ]
