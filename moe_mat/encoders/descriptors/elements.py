"""What a crystal is made of, element by element: shares, vectors learned from text, and how ionic it can be."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np
from pymatgen.core import Element, Structure

from moe_mat.crystals.sites import element_counts
from moe_mat.encoders.descriptors.composition import KNOWN_ELEMENTS, check_in_table, element_property
from moe_mat.encoders.descriptors.standardised import StandardisedEncoder
from moe_mat.encoders.registry import register_encoder

NORMS = (2, 3, 5, 7)
# Charges that are followed at once: of very many elements, those next to none.
_MOST_TOTALS = 10_000


@lru_cache(maxsize=1)
def text_vectors() -> np.ndarray:
    """Vectors of the elements, row ``Z``: ``[104, 200]``, NaN where there is none.

    They were learned from three million abstracts, which words stand near which (Tshitoyan et al., Nature 571, 95,
    2019), and ship with matminer.
    """
    from matminer.utils.data import MatscholarElementData

    data = MatscholarElementData(impute_nan=False)
    missing = dict.fromkeys(data.prop_names, np.nan)
    of_elements = [data.all_element_data.get(Element.from_Z(number).symbol, missing) for number in KNOWN_ELEMENTS]
    return np.array(
        [[np.nan] * len(data.prop_names), *([one[name] for name in data.prop_names] for one in of_elements)]
    )


def fractions(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Share of each element in the atoms ``[103]``."""
    shares = np.zeros(len(KNOWN_ELEMENTS))
    shares[numbers - 1] = counts / counts.sum()
    return shares


def text_statistics(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of the elements' vectors, weighted by their shares, and standard deviation ``[400]``."""
    vectors, shares = text_vectors()[numbers], counts / counts.sum()
    mean = shares @ vectors
    return np.concatenate([mean, np.sqrt(shares @ (vectors - mean) ** 2)])


def ionic_features(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How ionic the bonds can be, and how electrons and charges come out ``[n_features]``; NaN where not known.

    The number of elements and the norms of their shares; ionic character 1 - exp(-d²/4) of the differences d of
    electronegativity (Pauling), the largest and the mean over pairs of atoms, and the spread; valence electrons for
    each atom of the most electronegative element, which are 8 where octets close; whether the formula unit has an odd
    number of electrons; and for the common oxidation states the smallest charge that is left over per atom, with any
    states, and with that element alone negative.
    """
    shares = counts / counts.sum()
    negativity = element_property("Electronegativity")[numbers]
    difference = negativity[:, None] - negativity[None]
    character = 1 - np.exp(-(difference**2) / 4)
    mean = shares @ negativity
    valence = counts @ element_property("NValence")[numbers]
    anion = int(np.argmax(np.nan_to_num(negativity)))
    return np.array(
        [
            len(numbers),
            *((shares**p).sum() ** (1 / p) for p in NORMS),
            character.max(),
            shares @ character @ shares,
            np.sqrt(shares @ (negativity - mean) ** 2),
            valence / counts[anion],
            (counts @ numbers) % 2,
            *(_charge_left(tuple(numbers.tolist()), tuple(counts.tolist()), one) for one in (None, anion)),
        ]
    )


@lru_cache(maxsize=10_000)  # polymorphs share their formula
def _charge_left(numbers: tuple[int, ...], counts: tuple[int, ...], anion: int | None) -> float:
    """Smallest total charge per atom over the elements' common oxidation states."""
    if len(numbers) == 1:
        return 0.0
    totals = {0}
    for place, (number, count) in enumerate(zip(numbers, counts, strict=True)):
        common = Element.from_Z(number).common_oxidation_states or (0,)
        wanted = [one for one in common if anion is None or (one < 0) == (place == anion)] or [0]
        totals = {total + count * state for total in totals for state in wanted}
        totals = set(sorted(totals, key=abs)[:_MOST_TOTALS])
    return min(map(abs, totals)) / sum(counts)


LAYERS: dict[str, tuple[int, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "fractions": (len(KNOWN_ELEMENTS), fractions),
    "text": (400, text_statistics),
    "ionic": (8 + len(NORMS), ionic_features),
}


@register_encoder("elements")
class ElementEncoder(StandardisedEncoder):
    """Numbers of the composition, standardised; there are no atom features.

    Layers of the crystal: ``fractions``, the share of each element; ``text``, statistics of `text_vectors`; and
    ``ionic``, see `ionic_features`. They depend on the ratios of the elements alone. A value that does not exist, such
    as the electronegativity of argon, becomes the mean of the crystals that the standardisation was fitted on.
    """

    composition_layers = frozenset(LAYERS)

    def __init__(self) -> None:
        super().__init__({layer: width for layer, (width, _) in LAYERS.items()})

    def describe(self, structure: Structure, layers: Collection[str]) -> dict[str, np.ndarray]:  # noqa: D102
        check_in_table(structure)
        elements = element_counts(structure)
        return {layer: compute(*elements) for layer, (_, compute) in LAYERS.items() if layer in layers}
