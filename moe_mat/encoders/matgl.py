"""Foundation potentials of MatGL (Ko et al., npj Comput. Mater. 11, 253, 2025) as frozen encoders.

TensorNet (Simeon and De Fabritiis, NeurIPS 2023), M3GNet (Chen and Ong, Nat. Comput. Sci. 2, 718, 2022) and QET (Ko et
al., arXiv 2511.07249).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from types import SimpleNamespace
from typing import Any

import torch
from pymatgen.core import Element, Lattice, Structure
from torch import Tensor

from moe_mat.crystals.checks import check_elements
from moe_mat.encoders.base import Encoder, Features
from moe_mat.encoders.registry import register_encoder
from moe_mat.graphs.radius import (
    RadiusBatch,
    RadiusGraph,
    batch_radius_graphs,
    radius_graph,
    radius_graph_memory,
)

ARCHITECTURES = ("M3GNet", "QET", "TensorNet")


@register_encoder("matgl")
class MatGLEncoder(Encoder):
    """A MatGL foundation potential; no autograd, no forces.

    Layers: atom features ``embedding`` and ``layer1``, ``layer2``, ... after each interaction. TensorNet and QET carry
    3 x 3 tensors there; the layer holds their invariants, the squared norms of the scalar, antisymmetric and symmetric
    traceless parts, as the models' own readout does. TensorNet and QET also have ``readout``, and QET ``charge``: the
    equilibrated charge (e) and the electrostatic potential of each atom. Of the crystal, ``energy`` (eV/atom).

    matgl reads its files with ``weights_only=True``, but imports the class that ``model.json`` names: load folders from
    people you trust. Models made before matgl 3 ran with another direction of the messages; matgl warns and loads them,
    but their numbers are no longer those that were published.

    Args:
        model: Name of a model on the hub, for example ``TensorNet-PES-MatPES-PBE-2025.2``, downloaded by matgl on first
            use into its own cache, or a folder with ``model.json``, ``model.pt`` and ``state.pt``.

    Raises:
        ImportError: When matgl is not installed.
        ValueError: When the model is not an interatomic potential of one of the three architectures.
        OSError: When there is no such folder and the hub has no such model or cannot be reached.
    """

    moves = True
    potential: Any
    types: Tensor

    def __init__(self, *, model: str) -> None:
        super().__init__()
        try:
            import matgl
            from matgl.apps.pes import Potential
            from matgl.utils.maths import decompose_tensor, tensor_norm
        except ImportError as error:
            raise ImportError("MatGL models need the matgl package: pip install moe_mat[matgl]") from error

        self._decompose, self._norm = decompose_tensor, tensor_norm
        potential: Any
        try:
            potential = matgl.load_model(model)
        except (RuntimeError, ValueError) as error:
            raise OSError(
                f"cannot load the MatGL model {model!r}: it is neither a folder with model.json, model.pt and state.pt "
                f"nor a model that the hub gave us ({error.__cause__ or error})"
            ) from error
        if not isinstance(potential, Potential) or type(potential.model).__name__ not in ARCHITECTURES:
            raise ValueError(f"{model} is not a potential of the kind {', '.join(ARCHITECTURES)}")
        network: Any = potential.model
        if potential.calc_repuls or network.is_intensive or network.include_state:
            raise ValueError(f"{model} has nuclear repulsion, an intensive readout or a state: not supported")
        self.potential = potential.to("cpu").eval().requires_grad_(False)
        elements = [Element(symbol).Z for symbol in network.element_types]
        self.type_of_element = {number: i for i, number in enumerate(elements)}
        types = torch.full((max(elements) + 1,), -1)
        types[elements] = torch.arange(len(elements))
        self.register_buffer("types", types, persistent=False)

        trial = Structure(Lattice.cubic(4.0), [Element.from_Z(elements[0])], [[0, 0, 0]])
        features = self(self.collate([self.prepare(trial)]))
        self._node_layers = {name: values.shape[1] for name, values in features.nodes.items()}

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        return dict(self._node_layers)

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return {"energy": 1}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return ("radius", float(self.potential.model.cutoff), frozenset(self.type_of_element))

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return self.type_of_element.keys()

    def prepare(self, structure: Structure) -> RadiusGraph:  # noqa: D102
        model = self.potential.model
        check_elements(structure, known=self.type_of_element, encoder=f"this {type(model).__name__}")
        return radius_graph(structure, cutoff=float(model.cutoff))

    def memory(self, sample: RadiusGraph) -> int:  # noqa: D102
        return radius_graph_memory(sample)

    def collate(self, samples: list[RadiusGraph]) -> RadiusBatch:  # noqa: D102
        return batch_radius_graphs(samples)

    def forward(self, batch: RadiusBatch) -> Features:  # noqa: D102
        model = self.potential.model
        graph = SimpleNamespace(
            node_type=self.types[batch.atomic_numbers],
            # The models look at bond vectors only. All atoms at the origin, displaced by the vectors, are the same to
            # them as atoms in their places, without the rounding of subtracted coordinates.
            pos=batch.vectors.new_zeros(len(batch.atomic_numbers), 3),
            edge_index=batch.bonds,
            pbc_offshift=batch.vectors,
            batch=batch.crystal_of_node,
            num_graphs=batch.n_crystals,
        )
        energies = self.potential.data_std * model(g=graph).reshape(-1) + self.potential.data_mean
        if self.potential.element_refs is not None:
            energies = energies + self.potential.element_refs(graph).reshape(-1)
        found, model.feature_dict = model.feature_dict, {}  # the model would keep the batch alive

        layers = {"embedding": self.invariants(found["embedding"])}
        interactions = [name for name in found if name.startswith("gc_")]
        layers |= {f"layer{i}": self.invariants(found[name]) for i, name in enumerate(interactions, start=1)}
        if type(model).__name__ != "M3GNet":
            layers["readout"] = found["readout"]
        if type(model).__name__ == "QET":
            layers["charge"] = torch.stack([found["charge"], found["elec_pot"]], dim=1)
        n_atoms = torch.bincount(batch.crystal_of_node, minlength=batch.n_crystals)
        energy = (energies / n_atoms).to(batch.vectors.dtype)[:, None]
        return Features(layers, batch.crystal_of_node, batch.n_crystals, {"energy": energy})

    def invariants(self, values: Any) -> Tensor:
        """Atom features that do not turn with the crystal, from what MatGL stores for a layer ``[n_atoms, width]``."""
        if isinstance(values, dict):
            return values["node_feat"]
        if values.dim() == 2:
            return values
        return torch.cat([self._norm(part) for part in self._decompose(values)], dim=1)
