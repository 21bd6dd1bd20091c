"""Units of targets: as they were given, or as the name of a column says them, such as ``gap (eV)``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Whatever stands in brackets behind a name is its unit only if it is made of these: "gap (PBE)" has none.
_SYMBOLS = """
eV meV keV Ry Ha Hartree J kJ MJ cal kcal mol Pa kPa MPa GPa bar kbar K mK °C A Å Ang angstrom nm µm um mm cm m s ms µs
ns ps fs Hz kHz MHz GHz THz g kg mg u amu atom atoms cell fu V mV kV mA µA C µC e T mT G Oe W mW S mS F N Ohm ohm Ω D
Bohr bohr muB µB uB emu % deg ° rad
"""
_KNOWN = frozenset(_SYMBOLS.split())
_IN_BRACKETS = re.compile(r".*\S\s*[(\[]([^()\[\]]+)[)\]]\s*")
# Between the symbols of a unit, and their powers.
_JOINED = re.compile(r"(?:[\s/*·.^-]|\d)+")


def unit_in_name(name: str) -> str | None:
    """The unit in brackets behind a name; ``None`` where there is none, or no known one.

    Example:
        >>> unit_in_name("gap (eV)"), unit_in_name("e [meV/atom]"), unit_in_name("gap (PBE)"), unit_in_name("gap")
        ('eV', 'meV/atom', None, None)
    """
    found = _IN_BRACKETS.fullmatch(name)
    if found is None:
        return None
    symbols = [one for one in _JOINED.split(found[1].strip()) if one]
    return found[1].strip() if symbols and all(one in _KNOWN for one in symbols) else None


def units_of(targets: Sequence[str], given: str | Sequence[str] | None) -> dict[str, str]:
    """Target to its unit, without those whose unit is not known.

    Args:
        targets: Names of the columns.
        given: One for all, or one for each.

    Raises:
        ValueError: When there are several units, and not as many as targets.

    Example:
        >>> units_of(["gap", "K (GPa)"], None), units_of(["gap"], "eV")
        ({'K (GPa)': 'GPa'}, {'gap': 'eV'})
    """
    if given is None:
        return {name: unit for name in targets if (unit := unit_in_name(name)) is not None}
    units = [given] * len(targets) if isinstance(given, str) else list(given)
    if len(units) != len(targets):
        raise ValueError(f"data.unit has {len(units)} units for {len(targets)} targets: give one, or one for each")
    return {name: unit for name, unit in zip(targets, units, strict=True) if unit}


def with_unit(name: str, units: Mapping[str, str]) -> str:
    """A target's name as a table or a picture shows it.

    Example:
        >>> with_unit("gap", {"gap": "eV"}), with_unit("gap (eV)", {"gap (eV)": "eV"}), with_unit("gap", {})
        ('gap (eV)', 'gap (eV)', 'gap')
    """
    unit = units.get(name)
    return name if unit is None or unit_in_name(name) == unit else f"{name} ({unit})"
