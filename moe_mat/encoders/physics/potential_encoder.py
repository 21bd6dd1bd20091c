"""Base of the physics that asks an interatomic potential."""

from __future__ import annotations

from collections.abc import Collection, Hashable

from pymatgen.core import Structure

from moe_mat.crystals.checks import check_elements
from moe_mat.encoders.descriptors.primitive import primitive_cell
from moe_mat.encoders.physics.base import PhysicsEncoder
from moe_mat.encoders.physics.load_potential import load_potential

DEFAULT_POTENTIAL = "7net-0"


class PotentialEncoder(PhysicsEncoder):
    """Physics of the primitive cell by a potential.

    Args:
        potential: Name of the potential, see `load_potential`.

    Raises:
        ValueError: When there is no such potential.
    """

    def __init__(self, *, potential: str = DEFAULT_POTENTIAL) -> None:
        super().__init__()
        self._name = potential
        self._potential = load_potential(potential)

    @property
    def prepare_key(self) -> Hashable:  # noqa: D102
        return (self.name, self._name)

    @property
    def known_elements(self) -> Collection[int]:  # noqa: D102
        return self._potential.known_elements

    def primitive(self, structure: Structure) -> Structure:
        """The primitive cell of a crystal.

        Raises:
            UnsupportedCrystalError: When there is an element that the potential does not know.
        """
        check_elements(structure, known=self.known_elements, encoder=f"the potential {self._name}")
        return primitive_cell(structure)
