"""What properties measure: the one vocabulary in which sources, tasks and users' columns are compared."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Quantity -> what sources call it. The level of theory does not count: a gap is a gap, measured or from any functional,
# because a network that knows one of a crystal's gaps knows most of the others.
QUANTITIES: dict[str, tuple[str, ...]] = {
    "formation_energy": ("formation_energy_per_atom", "e_form", "eform", "formation_enthalpy", "heat_of_formation"),
    "energy_above_hull": ("e_above_hull", "ehull", "hull_distance"),
    "exfoliation_energy": ("exfoliation_en",),
    "band_gap": ("band_gap_pbe", "band_gap_optb88vdw", "gap", "bandgap", "gap_pbe", "is_metal", "e_gap"),
    # the refractive index is the root of the electronic dielectric constant, which is a part of the total one
    "dielectric_constant": ("dielectric_opt", "refractive_index", "eps_electronic", "eps_total", "dielectric"),
    "effective_mass": ("avg_elec_mass", "avg_hole_mass", "m_n", "m_p"),
    "seebeck_coefficient": ("n_seebeck", "p_seebeck", "S_n", "S_p", "seebeck"),
    "power_factor": ("n_powerfactor", "p_powerfactor", "PF_n", "PF_p"),
    "bulk_modulus": ("bulk_modulus_kv", "log10_bulk_modulus_vrh", "K_VRH", "log_kvrh"),
    "shear_modulus": ("shear_modulus_gv", "log10_shear_modulus_vrh", "G_VRH", "log_gvrh"),
    "poisson_ratio": ("poisson",),
    "elastic_anisotropy": ("universal_anisotropy",),
    "piezoelectric_modulus": ("eij_max",),
    "phonon_frequency": ("last phdos peak", "last_phdos_peak"),
    "magnetic_moment": ("magmom", "total_magnetization"),
}
# Who knows these of a crystal knows the quantity, or most of it.
COMPUTED_FROM: dict[str, tuple[str, ...]] = {
    "poisson_ratio": ("bulk_modulus", "shear_modulus"),
    "elastic_anisotropy": ("bulk_modulus", "shear_modulus"),
    "energy_above_hull": ("formation_energy",),
}
OTHER = "other"
"""For a property that none of these is."""

_BY_PROPERTY = {name.lower(): quantity for quantity, names in QUANTITIES.items() for name in (quantity, *names)}


def quantity_of(name: str) -> str:
    """The quantity that a property measures; a property that is not in the vocabulary is a quantity of its own.

    Example:
        >>> quantity_of("log10_bulk_modulus_vrh"), quantity_of("superconducting_tc")
        ('bulk_modulus', 'superconducting_tc')
    """
    return _BY_PROPERTY.get(name.lower(), name)


def determines(learned: str, quantity: str) -> bool:
    """Whether who learned one quantity of a crystal was told another: it is the same, or computed from it.

    Example:
        >>> determines("shear_modulus", "poisson_ratio"), determines("poisson_ratio", "shear_modulus")
        (True, False)
    """
    return learned == quantity or learned in COMPUTED_FROM.get(quantity, ())


def find_quantity(name: str, *, known: Iterable[str] = ()) -> str:
    """The quantity that a user means by a name: of a quantity, a property, or ``other``.

    Args:
        name: As a user wrote it, or a column.
        known: Further quantities, such as those of the experts at hand.

    Raises:
        ValueError: When it is none. A misspelt one would be found nowhere, and everything would look clean.
    """
    found = quantity_of(name)
    names = [*dict.fromkeys([*QUANTITIES, *known]), OTHER]
    if found in names:
        return found
    close = difflib.get_close_matches(name.lower(), [*names, *_BY_PROPERTY], n=1)
    hint = f" Did you mean {quantity_of(close[0])}?" if close else ""
    raise ValueError(
        f"what {name!r} measures is not known: name it by --quantity.{hint} There are {', '.join(names)} "
        "(for a property that none of these is)"
    )
