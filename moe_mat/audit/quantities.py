"""What properties measure: the one vocabulary in which sources, tasks and users' columns are compared."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Quantity -> what sources call it. The level of theory does not count: a gap is a gap, measured or from any functional,
# because a network that knows one of a crystal's gaps knows most of the others.
QUANTITIES: dict[str, tuple[str, ...]] = {
    "energy": ("total_energy", "energy_per_atom"),
    "forces": ("force",),
    "stress": ("stresses", "virial"),
    "formation_energy": ("formation_energy_per_atom", "e_form", "eform", "formation_enthalpy", "heat_of_formation"),
    "energy_above_hull": ("e_above_hull", "ehull", "hull_distance"),
    "exfoliation_energy": ("exfoliation_en",),
    "band_gap": ("band_gap_pbe", "band_gap_optb88vdw", "gap", "bandgap", "gap_pbe", "is_metal", "e_gap"),
    # the refractive index is the root of the electronic dielectric constant, which is a part of the total one
    "dielectric_constant": ("dielectric_opt", "refractive_index", "eps_electronic", "eps_total", "dielectric"),
    "effective_mass": ("avg_elec_mass", "avg_hole_mass", "m_n", "m_p"),
    "seebeck_coefficient": ("n_seebeck", "p_seebeck", "S_n", "S_p", "seebeck"),
    "power_factor": ("n_powerfactor", "p_powerfactor", "PF_n", "PF_p"),
    "elastic_constants": ("elastic_tensor", "stiffness", "C_ij"),
    "bulk_modulus": ("bulk_modulus_kv", "log10_bulk_modulus_vrh", "K_VRH", "log_kvrh"),
    "shear_modulus": ("shear_modulus_gv", "log10_shear_modulus_vrh", "G_VRH", "log_gvrh"),
    "young_modulus": ("youngs_modulus", "E_VRH"),
    "poisson_ratio": ("poisson", "poissons_ratio"),
    "elastic_anisotropy": ("universal_anisotropy",),
    "piezoelectric_modulus": ("eij_max",),
    "phonon_frequency": ("last_phdos_peak",),
    "magnetic_moment": ("magmom", "magmoms", "total_magnetization"),
    "atomic_charge": ("charge", "charges"),
}
_ENERGIES = ("energy", "formation_energy", "energy_above_hull")
_MODULI = ("bulk_modulus", "shear_modulus", "young_modulus")
# What enters an equation that gives a quantity. Any of it counts, also where the equation takes two: another expert of
# the mixture may know the other.
COMPUTED_FROM: dict[str, tuple[str, ...]] = {
    # E_f = E - sum of the elements' energies; the hull distance is E_f less that of the hull at the composition
    **dict.fromkeys(_ENERGIES, _ENERGIES),
    "exfoliation_energy": _ENERGIES,  # of the layer less that of the bulk, which has the same composition
    # isotropic: two of bulk modulus, shear modulus, Young's modulus and Poisson ratio give the others
    "bulk_modulus": ("elastic_constants", "shear_modulus", "young_modulus", "poisson_ratio"),
    "shear_modulus": ("elastic_constants", "bulk_modulus", "young_modulus", "poisson_ratio"),
    "young_modulus": ("elastic_constants", "bulk_modulus", "shear_modulus", "poisson_ratio"),
    "poisson_ratio": ("elastic_constants", *_MODULI),
    "elastic_anisotropy": ("elastic_constants", "bulk_modulus", "shear_modulus"),  # A = 5 G_V/G_R + K_V/K_R - 6
    "elastic_constants": (
        "bulk_modulus",
        "shear_modulus",
        "elastic_anisotropy",
    ),  # a cubic crystal's three from K, G and A
    "power_factor": ("seebeck_coefficient",),  # S^2 sigma
    "seebeck_coefficient": ("power_factor",),
}
_LANDSCAPE = ("energy", "forces", "stress")
# The weaker tie: second derivatives of the energy that a potential learned. It was not told them, and near equilibrium
# it learned little of them, so this is said and not counted.
RELATED: dict[str, tuple[str, ...]] = dict.fromkeys(("phonon_frequency", "elastic_constants", *_MODULI), _LANDSCAPE)
RELATED |= dict.fromkeys(("poisson_ratio", "elastic_anisotropy"), _LANDSCAPE)
OTHER = "other"
"""For a property that none of these is."""


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_")


_BY_PROPERTY = {_plain(name): quantity for quantity, names in QUANTITIES.items() for name in (quantity, *names)}


def quantity_of(name: str) -> str:
    """The quantity that a property measures; a property that is not in the vocabulary is a quantity of its own.

    Example:
        >>> quantity_of("log10_bulk_modulus_vrh"), quantity_of("superconducting_tc")
        ('bulk_modulus', 'superconducting_tc')
    """
    return _BY_PROPERTY.get(_plain(name), name)


def determines(learned: str, quantity: str) -> bool:
    """Whether who learned one quantity of a crystal was told another, or much of it: the same, or one it follows from.

    Example:
        >>> determines("shear_modulus", "poisson_ratio"), determines("poisson_ratio", "shear_modulus")
        (True, True)
        >>> determines("formation_energy", "exfoliation_energy"), determines("exfoliation_energy", "formation_energy")
        (True, False)
    """
    return learned == quantity or learned in COMPUTED_FROM.get(quantity, ())


def is_related(learned: str, quantity: str) -> bool:
    """Whether a quantity is a second derivative of what was learned: less than `determines`, more than nothing.

    Example:
        >>> is_related("forces", "phonon_frequency"), is_related("forces", "band_gap")
        (True, False)
    """
    return learned in RELATED.get(quantity, ())


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
    close = difflib.get_close_matches(_plain(name), [*names, *_BY_PROPERTY], n=1)
    hint = f" Did you mean {quantity_of(close[0])}?" if close else ""
    raise ValueError(
        f"what {name!r} measures is not known: name it by --quantity.{hint} There are {', '.join(names)} "
        "(for a property that none of these is)"
    )
