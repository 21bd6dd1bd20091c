"""What a crystal is made of: the Magpie table of the elements, which ships with matminer, and its statistics.

The table is that of Ward et al. (npj Comput. Mater. 2, 16028, 2016).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pymatgen.core import Element, Structure

from moe_mat.crystals.checks import check_elements

KNOWN_ELEMENTS = range(1, 104)  # of the elements after lawrencium, the table knows next to nothing
MAGPIE_PROPERTIES = (
    "Number",
    "MendeleevNumber",
    "AtomicWeight",
    "MeltingT",
    "Column",
    "Row",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NfValence",
    "NValence",
    "NsUnfilled",
    "NpUnfilled",
    "NdUnfilled",
    "NfUnfilled",
    "NUnfilled",
    "GSvolume_pa",
    "GSbandgap",
    "GSmagmom",
    "SpaceGroupNumber",
)


@lru_cache(maxsize=1)
def element_table() -> np.ndarray:
    """Properties of the elements, row ``Z``, columns as in `MAGPIE_PROPERTIES`: ``[104, 22]``, NaN where unknown."""
    from matminer.utils.data import MagpieData

    data = MagpieData(impute_nan=False)
    symbols = [Element.from_Z(number).symbol for number in KNOWN_ELEMENTS]
    rows = [[data.all_elemental_props[name][symbol] for name in MAGPIE_PROPERTIES] for symbol in symbols]
    return np.array([[np.nan] * len(MAGPIE_PROPERTIES), *rows])


def element_property(name: str) -> np.ndarray:
    """One column of the table, indexed by atomic number: ``[104]``."""
    return element_table()[:, MAGPIE_PROPERTIES.index(name)]


def covalent_radii(atomic_numbers: np.ndarray) -> np.ndarray:
    """Covalent radii in Å, NaN where unknown ``[n]`` (Cordero et al., Dalton Trans. 2832, 2008)."""
    return element_property("CovalentRadius")[atomic_numbers] / 100  # pm to Å


def check_in_table(structure: Structure) -> None:
    """Pass crystals whose elements the table knows.

    Raises:
        UnsupportedCrystalError: When an element is not in the table.
    """
    check_elements(structure, known=KNOWN_ELEMENTS, encoder="the Magpie tables")


def magpie_statistics(atomic_numbers: np.ndarray) -> np.ndarray:
    """Magpie's statistics of a composition: ``[132]``, the same numbers as matminer's, in the same order.

    For each property minimum, maximum, range, mean, mean absolute deviation and mode (the value of the most abundant
    element, the smallest of them when several are), weighted by atomic fraction; NaN where an element has no value.

    Args:
        atomic_numbers: ``[n_atoms]``.
    """
    numbers, counts = np.unique(atomic_numbers, return_counts=True)
    return statistics_of_elements(numbers, counts // np.gcd.reduce(counts))


def statistics_of_elements(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The same, from atomic numbers, ascending, and how many atoms of each a formula unit has: ``[n_elements]``."""
    return _statistics(tuple(numbers.tolist()), tuple(counts.tolist()))


@lru_cache(maxsize=10_000)  # polymorphs share their formula
def _statistics(numbers: tuple[int, ...], counts: tuple[int, ...]) -> np.ndarray:
    values = element_table()[list(numbers)]
    fractions = np.array(counts) / sum(counts)
    low, high, mean = values.min(axis=0), values.max(axis=0), fractions @ values
    mode = values[np.array(counts) == max(counts)].min(axis=0)
    return np.stack([low, high, high - low, mean, fractions @ np.abs(values - mean), mode], axis=1).ravel()
