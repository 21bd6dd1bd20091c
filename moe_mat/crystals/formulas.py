"""Crystals of which only the composition is known."""

from __future__ import annotations

import math
import re
import reprlib
from fractions import Fraction
from typing import Any, NoReturn

from pymatgen.core import Composition, DummySpecies, Element, Structure

from moe_mat.crystals.errors import UnsupportedCrystalError

# Amounts are taken as fractions with denominators up to this, so that 0.3333 and 1/3 are told apart, and 0.33333 not.
_FINEST = 10_000
# Atoms of a reduced formula: more are no composition, but digits of a measurement.
_MOST_ATOMS = 1_000_000
_LONGEST = 200  # characters
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_FORMULA = re.compile(r"([A-Z][a-z]?|[(\[{]|(?<=[A-Za-z)\]}])\d+(\.\d+)?|[)\]}])+", re.ASCII)
_ZERO = re.compile(r"(?<![\d.])0+(\.0+)?(?![\d.])")
_REMEDIES = {
    r"\s": "take out the blank",
    r"[\u2080-\u2089\u2070-\u2079\u00b2\u00b3\u00b9]": "write its digits on the line, as in Fe2O3",
    r"[\u00b7\u2022\u2219\u22c5*]": "write water of crystallisation in brackets, as in CuSO4(H2O)5",
    r"[+\-\u2212^]": "leave out charges and signs",
}


class Formula(Structure):
    """A composition that stands where a crystal stands: its sites are not known, and who asks for them is refused.

    Args:
        composition: Of neutral atoms, with positive amounts.

    Attributes:
        composition: Whole numbers without a common divisor.

    Raises:
        ValueError: When there is no element, or an amount is not positive, or they have no common measure.

    Example:
        >>> formula = parse_formula("Ni0.5Fe0.5")
        >>> formula, formula.composition["Fe"], len(formula)
        (Formula(FeNi), 1, 2)
        >>> formula.volume
        Traceback (most recent call last):
        moe_mat.crystals.errors.UnsupportedCrystalError: only the composition FeNi is known, and a structure is needed
    """

    def __init__(self, composition: Composition) -> None:  # there is no lattice to begin with
        amounts = {element: _fraction(amount) for element, amount in composition.element_composition.items()}
        if not amounts:
            raise ValueError("the composition is empty: it has no elements")
        unit = math.lcm(*(amount.denominator for amount in amounts.values()))
        whole = {element: int(amount * unit) for element, amount in amounts.items()}
        divisor = math.gcd(*whole.values())
        whole = {element: number // divisor for element, number in sorted(whole.items(), key=lambda one: one[0].Z)}
        if sum(whole.values()) > _MOST_ATOMS:
            raise ValueError(
                f"its amounts have no common measure: whole numbers of atoms would be more than {_MOST_ATOMS}; round "
                "them to two or three digits"
            )
        self._composition = Composition(whole)
        self._charge = None
        self._properties: dict[str, Any] = {}

    @property
    def composition(self) -> Composition:  # noqa: D102
        return self._composition

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        """Of the elements, each once."""
        return tuple(element.Z for element in self._composition)

    def _refuse(self) -> NoReturn:
        raise UnsupportedCrystalError(
            f"only the composition {self.reduced_formula} is known, and a structure is needed"
        )

    # All that pymatgen computes begins with these two.
    _sites = property(_refuse)
    _lattice = property(_refuse)

    def __len__(self) -> int:
        """Atoms of the formula unit."""
        return int(sum(self._composition.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and self._composition == other._composition

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.reduced_formula)

    def __repr__(self) -> str:
        return f"Formula({self.reduced_formula})"

    __str__ = __repr__

    def copy(self, *args: object, **kwargs: object) -> Formula:
        """Itself: it does not change."""
        return self


def _fraction(amount: float) -> Fraction:
    if not math.isfinite(amount) or amount <= 0:
        raise ValueError(f"the amount {amount} is not a positive number")
    fraction = Fraction(float(amount)).limit_denominator(_FINEST)
    if not fraction:
        raise ValueError(f"the amount {amount} is too small to be told from 0")
    return fraction


def as_formula(given: str | Composition) -> Formula:
    """A formula from text or a pymatgen Composition; oxidation states do not count.

    Raises:
        ValueError: When it is none; says why.
    """
    if isinstance(given, str):
        return parse_formula(given)
    if strange := [str(one) for one in given if isinstance(one, DummySpecies)]:
        raise ValueError(f"{', '.join(strange)} of {given.formula} is no element")
    try:
        return Formula(given)
    except ValueError as error:
        raise ValueError(f"{given.formula or 'the composition'}: {error}") from error


def parse_formula(text: str) -> Formula:
    """A formula from text, read strictly: symbols, amounts such as 2 or 0.25, and brackets.

    Args:
        text: Such as ``Fe2O3``, ``Ca(OH)2`` or ``La0.7Sr0.3MnO3``.

    Raises:
        ValueError: When it is no formula, or is ambiguous; says why.
    """
    if not text.strip():
        raise ValueError("the formula is empty")
    if text == "NaN":
        raise ValueError("NaN stands for no value: leave this row out, or write Na1N1")
    shown = reprlib.repr(text)
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, text):
            raise ValueError(f"{shown} is not a formula as it is read here: {remedy}")
    if len(text) > _LONGEST or not _FORMULA.fullmatch(text):
        raise ValueError(f"{shown} is no formula: it is read as symbols, amounts and brackets, as in Ca(OH)2")
    if _ZERO.search(text):
        raise ValueError(f"{shown} has an amount of 0: leave out what is not there")
    symbols = _SYMBOL.findall(text)
    if unknown := sorted({symbol for symbol in symbols if not Element.is_valid_symbol(symbol)}):
        raise ValueError(f"{shown} is no formula: there is no element {' or '.join(unknown)}")
    if "." in text and len(set(symbols)) < len(symbols):
        raise ValueError(
            f"{shown} is ambiguous: an element occurs twice, and the point may be that of a hydrate; write "
            "CuSO4(H2O)5, or each element once"
        )
    try:
        return Formula(Composition(text))
    except ValueError as error:
        raise ValueError(f"{shown} is no formula: {error}") from error
