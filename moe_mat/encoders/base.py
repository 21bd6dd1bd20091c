"""The encoder protocol: a crystal becomes a sample, samples become a batch, a batch becomes features per layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar

import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from moe_mat.crystals.errors import UnsupportedCrystalError
from moe_mat.crystals.once import one_crystal

# Bytes: a crystal whose graph needs more is refused.
MOST_MEMORY = 2**30
# Over atom features that do not turn with the crystal, see `pool`.
SCALAR_STATISTICS = ("mean", "std")


@dataclass
class Features:
    """What an encoder says about one batch of crystals.

    Attributes:
        nodes: Layer name to atom features ``[n_atoms, width]``.
        crystals: Layer name to features ``[n_crystals, width]`` that belong to the crystal as a whole.
        crystal_of_node: Index of the crystal that each atom belongs to ``[n_atoms]``.
        n_crystals: Number of crystals in the batch.
        tensors: Layer name to atom features that turn with the crystal: for each degree l above 0
            ``[n_atoms, multiplicity, 2 l + 1]``, in an orthonormal basis of the tensors of that degree.
        centrosymmetric: Which crystals are known to have an inversion centre ``[n_crystals]``; ``None`` for none.
    """

    nodes: dict[str, Tensor]
    crystal_of_node: Tensor
    n_crystals: int
    crystals: dict[str, Tensor] = field(default_factory=dict)
    tensors: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    centrosymmetric: Tensor | None = None


class Encoder(nn.Module, ABC):
    """Base class of all encoders.

    A subclass takes plain settings (numbers, strings, lists) in its constructor, because they come from a card. Weights
    are loaded strictly from the card's safetensors file; an encoder whose weights come with a Python package loads them
    in its constructor.

    Attributes:
        name: What cards call it.
        composition_layers: Those of its layers that the composition alone gives: they can be read of a
            `moe_mat.crystals.formulas.Formula`.
        learned: Whether its weights were fitted to values of properties, which the leakage audit must then know of.
        moves: Whether it computes on a GPU as well: it makes its tensors where those of the batch are, and batches have
            a method ``to``. Others stay on the CPU.
    """

    name: ClassVar[str]
    composition_layers: ClassVar[frozenset[str]] = frozenset()
    learned: ClassVar[bool] = True
    moves: ClassVar[bool] = False

    @property
    def device(self) -> torch.device:
        """Where its weights are, and so where it computes."""
        return next((values.device for values in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    @abstractmethod
    def node_layers(self) -> dict[str, int]:
        """Names and widths of the layers that describe atoms, in the order in which they are computed."""

    @property
    def crystal_layers(self) -> dict[str, int]:
        """Names and widths of the layers that describe the whole crystal."""
        return {}

    @property
    def tensor_layers(self) -> dict[str, int]:
        """Names of the layers of atom features that turn with the crystal, and how many such tensors each has."""
        return {}

    @property
    @abstractmethod
    def prepare_key(self) -> Hashable:
        """Encoders with equal keys share prepared samples and batches."""

    @property
    def known_elements(self) -> Collection[int] | None:
        """Atomic numbers of the elements that it can represent; ``None`` where it does not say."""
        return None

    @abstractmethod
    def prepare(self, structure: Structure) -> Any:
        """Turn one checked crystal into a sample, on the CPU.

        Raises:
            UnsupportedCrystalError: When this encoder has no representation for the crystal.
        """

    def memory(self, sample: Any) -> int:
        """Bytes, roughly, that a prepared crystal takes in a batch; 0 where it is next to nothing.

        Batches are made so that they fit into memory, and a crystal that does not fit alone is refused.
        """
        return 0

    def only(self, layers: Collection[str]) -> Encoder:
        """This encoder, asked for some layers; by default all are computed, because each is a step to the next."""
        return self

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:
        """Join samples into one batch."""

    @abstractmethod
    def forward(self, batch: Any) -> Features:
        """Compute the features of every layer for one batch."""


def prepare_checked(encoder: Encoder, structure: Structure) -> Any:
    """One sample of an encoder that fits into memory.

    Raises:
        UnsupportedCrystalError: When the encoder has no representation for the crystal, or one that does not fit.
    """
    with one_crystal():
        sample = encoder.prepare(structure)
    if (needed := encoder.memory(sample)) > MOST_MEMORY:
        raise UnsupportedCrystalError(
            f"the graph of its {len(structure)} atoms needs about {needed / 2**30:.1f} GiB of memory, more than "
            f"{MOST_MEMORY / 2**30:.0f}: take a smaller cell of this crystal, or leave it or this expert out"
        )
    return sample


def pool(nodes: Tensor, crystal_of_node: Tensor, n_crystals: int, *, statistics: list[str]) -> Tensor:
    """Pool atom features into crystal features.

    The spread is the population standard deviation, so that it does not change when a cell is repeated.

    Args:
        nodes: Atom features ``[n_atoms, width]``.
        crystal_of_node: Crystal index of each atom ``[n_atoms]``.
        n_crystals: Number of crystals.
        statistics: Any of ``"mean"`` and ``"std"``, in the order wanted.

    Returns:
        Features ``[n_crystals, len(statistics) * width]``.
    """
    ones = torch.ones(len(nodes), dtype=nodes.dtype, device=nodes.device)
    count = torch.zeros(n_crystals, dtype=nodes.dtype, device=nodes.device).index_add_(0, crystal_of_node, ones)

    def mean_over_atoms(values: Tensor) -> Tensor:
        total = torch.zeros(n_crystals, values.shape[1], dtype=values.dtype, device=values.device)
        return total.index_add_(0, crystal_of_node, values) / count[:, None]

    mean = mean_over_atoms(nodes)

    def spread() -> Tensor:
        variance = mean_over_atoms((nodes - mean[crystal_of_node]) ** 2)
        # Of one atom, or of equal ones, it is zero, where the root has no slope.
        return (variance.clamp_min(1e-12) if variance.requires_grad else variance).sqrt()

    parts = {"mean": lambda: mean, "std": spread}
    return torch.cat([parts[statistic]() for statistic in statistics], dim=1)
