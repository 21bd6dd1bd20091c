"""CHGNet: atoms, bonds and angles (Deng et al., Nat. Mach. Intell. 5, 1031, 2023), as a frozen encoder."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.crystals.checks import check_elements
from moe_mat.encoders.adapter import Adapter
from moe_mat.encoders.base import Encoder, Features, pool
from moe_mat.encoders.chgnet_graphs import ATOM_CUTOFF, CHGNetSample, chgnet_graph, chgnet_sample
from moe_mat.encoders.registry import register_encoder
from moe_mat.graphs.radius import radius_graph

# The embedding has 94 rows, but Po, At, Rn, Fr and Ra do not occur in the training data: theirs are random.
KNOWN_ELEMENTS = frozenset(range(1, 95)) - frozenset(range(84, 89))
CHECKPOINTS = {
    "0.3.0": "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "r2scan": "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
}


# Bonds or angles whose messages are computed at once, which take some 4 kB each: as many as the cache of a CPU holds,
# unless a GPU wants more to do, or a backward pass would go through every slice.
ROWS_IN_CACHE, ROWS_AT_ONCE = 1024, 131_072
ROW_BYTES = 1000  # what a bond or an angle takes all the while


@dataclass(frozen=True, slots=True)
class CHGNetBatch:
    """Several crystals as one disconnected graph; the tensors are those of `CHGNetSample`, joined."""

    atomic_numbers: Tensor
    directed: Tensor
    lengths: Tensor
    angled: Tensor
    angles: Tensor
    crystal_of_node: Tensor
    n_crystals: int

    def to(self, device: torch.device | str) -> CHGNetBatch:
        """Move the batch to a device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "n_crystals"}
        return CHGNetBatch(**moved, n_crystals=self.n_crystals)


def gated_mlp(block: Any, parts: list[tuple[Tensor, Tensor | None]]) -> Callable[[slice], Tensor]:
    """CHGNet's gated MLP of concatenated rows, without concatenating them.

    Its first matrix acts on each part before the rows are gathered, because ``W [a_i, b_j] = (W_a a)_i + (W_b b)_j``
    and there are many more pairs and angles than atoms and bonds.

    Args:
        block: A ``chgnet.model.functions.GatedMLP``.
        parts: Values ``[n, width]`` and which of their rows to take ``[n_rows]``, or None for all; the first has some.

    Returns:
        From some rows to their values ``[n, width]``.
    """
    core, gate = block.mlp_core.layers, block.mlp_gate.layers
    first = next(i for i, layer in enumerate(core) if isinstance(layer, nn.Linear))
    weight = torch.cat([core[first].weight, gate[first].weight])
    bias = torch.cat([core[first].bias, gate[first].bias])
    weights = weight.split([values.shape[1] for values, _ in parts], dim=1)
    gathered = [
        (nn.functional.linear(values, w, bias if i == 0 else None), index)
        for i, ((values, index), w) in enumerate(zip(parts, weights, strict=True))
        if index is not None
    ]
    own = [(values, w.t()) for (values, index), w in zip(parts, weights, strict=True) if index is None]
    # Both halves have the same activation, where there is a second matrix.
    activation = core[first + 1] if len(core) > first + 1 else nn.Identity()
    rest_of_core, rest_of_gate = core[first + 2 :], gate[first + 2 :]

    def rows_of(some: slice) -> Tensor:
        rows = gathered[0][0].index_select(0, gathered[0][1][some])
        for term, index in gathered[1:]:
            rows.add_(term.index_select(0, index[some]))
        for values, w in own:
            rows.addmm_(values[some], w)
        core_rows, gate_rows = activation(rows).chunk(2, dim=1)
        core_rows = block.activation(block.bn1(rest_of_core(core_rows)))
        return core_rows * torch.sigmoid(block.bn2(rest_of_gate(gate_rows)))

    return rows_of


def slices(rows: Tensor) -> list[slice]:
    """Ranges of rows that are computed at once; one that is empty where there are none."""
    size = ROWS_AT_ONCE if torch.is_grad_enabled() or rows.device.type != "cpu" else ROWS_IN_CACHE
    return [slice(start, start + size) for start in range(0, max(1, len(rows)), size)]


@register_encoder("chgnet")
class CHGNetEncoder(Encoder):
    """CHGNet with the weights that ship in the chgnet package; no download, no forces.

    Layers: the atom features ``embedding`` and ``conv1`` to ``conv4``; of the crystal, ``crystal`` (the mean of the
    normalised last atom features; CHGNet itself sums them, which grows with the cell) and ``energy`` (eV/atom). Both
    cutoffs are smooth, so that no tie rule is needed. An atom without neighbours receives no messages, which is the
    limit that the smooth cutoff approaches.

    Graphs are built here, vectorised and with bond vectors in double precision: it is faster than the package's own
    converter, and that one refuses isolated atoms and writes a file into the working folder when it fails.

    Args:
        model: ``"0.3.0"`` (PBE, Materials Project trajectories) or ``"r2scan"`` (transferred to r2SCAN).
        adapter: Width of the bottleneck of an adapter after each atom convolution; ``None`` for none.

    Raises:
        ValueError: When there is no such model.
    """

    moves = True
    model: Any

    def __init__(self, *, model: str = "0.3.0", adapter: int | None = None) -> None:
        super().__init__()
        import chgnet
        from chgnet.model import CHGNet

        if model not in CHECKPOINTS:
            raise ValueError(f"unknown CHGNet model {model!r}; known: {', '.join(CHECKPOINTS)}")
        path = Path(chgnet.__file__).parent / "pretrained" / CHECKPOINTS[model]
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)["model"]
        with contextlib.redirect_stdout(io.StringIO()):  # the constructor prints
            self.model = CHGNet(**checkpoint["model_args"], version=model)
        self.model.load_state_dict(checkpoint["state_dict"], strict=True)
        self.model.eval().requires_grad_(False)
        width, n_adapters = self.model.atom_fea_dim, self.model.n_conv if adapter is not None else 0
        self.adapters = nn.ModuleList(Adapter(width, adapter or 0) for _ in range(n_adapters))

    @property
    def node_layers(self) -> dict[str, int]:  # noqa: D102
        width = self.model.atom_fea_dim
        return {"embedding": width} | {f"conv{i}": width for i in range(1, self.model.n_conv + 1)}

    @property
    def crystal_layers(self) -> dict[str, int]:  # noqa: D102
        return {"crystal": self.model.atom_fea_dim, "energy": 1}

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return "chgnet"

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return KNOWN_ELEMENTS

    def prepare(self, structure: Structure) -> CHGNetSample:  # noqa: D102
        check_elements(structure, known=KNOWN_ELEMENTS, encoder="CHGNet")
        return chgnet_sample(chgnet_graph(radius_graph(structure, cutoff=ATOM_CUTOFF)))

    def memory(self, sample: CHGNetSample) -> int:  # noqa: D102
        return ROW_BYTES * (sample.directed.shape[1] + sample.angled.shape[1])

    def collate(self, samples: list[CHGNetSample]) -> CHGNetBatch:  # noqa: D102
        n_atoms = np.array([len(sample.atomic_numbers) for sample in samples])
        n_bonds = np.array([len(sample.lengths) for sample in samples])
        atom, bond = np.cumsum(n_atoms) - n_atoms, np.cumsum(n_bonds) - n_bonds
        directed = [s.directed + np.array([[i], [i], [b]]) for s, i, b in zip(samples, atom, bond, strict=True)]
        angled = [s.angled + np.array([[i], [b], [b]]) for s, i, b in zip(samples, atom, bond, strict=True)]
        return CHGNetBatch(
            atomic_numbers=torch.from_numpy(np.concatenate([sample.atomic_numbers for sample in samples])),
            directed=torch.from_numpy(np.concatenate(directed, axis=1)),
            lengths=torch.from_numpy(np.concatenate([sample.lengths for sample in samples])),
            angled=torch.from_numpy(np.concatenate(angled, axis=1)),
            angles=torch.from_numpy(np.concatenate([sample.angles for sample in samples])),
            crystal_of_node=torch.from_numpy(np.repeat(np.arange(len(samples)), n_atoms)),
            n_crystals=len(samples),
        )

    def forward(self, batch: CHGNetBatch) -> Features:  # noqa: D102
        model = self.model
        encoder = model.bond_basis_expansion
        atom_basis = encoder.rbf_expansion_ag(batch.lengths)
        angle_basis = model.angle_basis_expansion.fourier_expansion(batch.angles)

        atoms = model.atom_embedding(batch.atomic_numbers - 1)
        bonds = model.bond_embedding(atom_basis)
        angles = model.angle_embedding(angle_basis)
        layers = {"embedding": atoms}
        center, neighbor, bond = batch.directed
        vertex, looking, seen = batch.angled
        # The few short bonds that form angles, by which each is one of the two once.
        short, looking = looking.unique(return_inverse=True)
        seen = torch.searchsorted(short, seen)
        atom_weights = model.bond_weights_ag(atom_basis)
        bond_weights = model.bond_weights_bg(encoder.rbf_expansion_bg(batch.lengths[short]))

        for i, layer in enumerate(model.atom_conv_layers):
            messages = gated_mlp(layer.twoBody_atom, [(atoms, center), (bonds, bond), (atoms, neighbor)])
            summed = torch.zeros_like(atoms)
            for some in slices(bond):
                weighted = messages(some) * atom_weights.index_select(0, bond[some])
                summed = summed.index_add_(0, center[some], weighted.to(summed.dtype))  # mixed precision: half
            atoms = atoms + layer.mlp_out(summed)
            if self.adapters:
                atoms = self.adapters[i](atoms)
            layers[f"conv{i + 1}"] = atoms
            if i == len(model.bond_conv_layers):
                break
            layer, short_bonds = model.bond_conv_layers[i], bonds.index_select(0, short)
            summed = torch.zeros_like(short_bonds)
            messages = gated_mlp(
                layer.twoBody_bond, [(short_bonds, looking), (short_bonds, seen), (angles, None), (atoms, vertex)]
            )
            for some in slices(vertex):
                weights = bond_weights.index_select(0, looking[some]) * bond_weights.index_select(0, seen[some])
                summed = summed.index_add_(0, looking[some], (messages(some) * weights).to(summed.dtype))
            bonds = bonds + layer.mlp_out(torch.zeros_like(bonds).index_copy(0, short, summed))
            layer, short_bonds = model.angle_layers[i].twoBody_bond, bonds.index_select(0, short)
            change = gated_mlp(layer, [(short_bonds, looking), (short_bonds, seen), (angles, None), (atoms, vertex)])
            angles = torch.cat([angles[some] + change(some) for some in slices(vertex)])

        readout = model.readout_norm(atoms)
        energies = model.mlp(readout) + model.composition_model.fc.weight.T[batch.atomic_numbers - 1]
        crystals = {
            name: pool(values, batch.crystal_of_node, batch.n_crystals, statistics=["mean"])
            for name, values in {"crystal": readout, "energy": energies}.items()
        }
        return Features(layers, batch.crystal_of_node, batch.n_crystals, crystals)
