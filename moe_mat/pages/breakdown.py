"""Where errors are, of crystals that were not learned from: by element, chemical system and number of atoms."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

# Chemical systems that are listed.
N_SYSTEMS = 15
# Fewer crystals than this say little.
FEW = 3
# Upper ends of the classes of the number of atoms.
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_ELEMENT = re.compile(r"[A-Z][a-z]?")

# Symbols of the periods, a dot where there is none; the lanthanides and actinides stand below.
PERIODIC_TABLE = (
    "H . . . . . . . . . . . . . . . . He",
    "Li Be . . . . . . . . . . B C N O F Ne",
    "Na Mg . . . . . . . . . . Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba . Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn",
    "Fr Ra . . . . . . . . . . . . . . . .",
    ". . . La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
    ". . . Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr",
)


@dataclass(frozen=True, slots=True)
class Group:
    """Some crystals.

    Attributes:
        name: What they share.
        n: How many were held out.
        error: Their mean absolute error, or the share of them that is wrong; NaN where there are none.
        ratio: That in units of the mean over all.
        n_train: How many were learned from.
    """

    name: str
    n: int
    error: float
    ratio: float
    n_train: int

    @property
    def few(self) -> bool:
        """Whether there are too few of them to say much."""
        return self.n < FEW


def elements_of(formula: str) -> list[str]:
    """The elements of a formula, sorted.

    Example:
        >>> elements_of("CaTiO3")
        ['Ca', 'O', 'Ti']
    """
    return sorted(set(_ELEMENT.findall(formula)))


def by_element(predictions: pd.DataFrame) -> list[list[Group | None]]:
    """The periodic table: a group each element, ``None`` where there is no place for one."""
    found = {one.name: one for one in _groups(predictions, predictions["formula"].map(elements_of))}
    nothing = partial(Group, n=0, error=math.nan, ratio=math.nan, n_train=0)
    return [
        [None if symbol == "." else found.get(symbol, nothing(symbol)) for symbol in row.split()]
        for row in PERIODIC_TABLE
    ]


def by_system(predictions: pd.DataFrame) -> list[Group]:
    """Chemical systems, those with the largest part of all errors first."""
    found = _groups(predictions, predictions["formula"].map(lambda formula: "-".join(elements_of(formula))))
    return sorted((one for one in found if one.n), key=lambda one: -one.n * one.error)[:N_SYSTEMS]


def by_size(predictions: pd.DataFrame) -> list[Group]:
    """Classes of the number of atoms in the cell, from small to large."""
    place = np.searchsorted(SIZES, predictions["n_atoms"].to_numpy())
    found = _groups(predictions, pd.Series(place, index=predictions.index))
    return [replace(one, name=_size(int(one.name))) for one in found if one.n]


def _size(number: int) -> str:
    lowest = SIZES[number - 1] + 1 if number else 1
    if number == len(SIZES):
        return f"{lowest} or more"
    return f"{lowest}" if lowest == SIZES[number] else f"{lowest} to {SIZES[number]}"


def _groups(predictions: pd.DataFrame, names: pd.Series) -> list[Group]:
    """The crystals of each name, or of each of several names that a crystal has, in the order of the names."""
    held_out = predictions["part"] != "train"
    errors = predictions["error"].abs().where(held_out)
    each = pd.DataFrame({"name": names, "held_out": held_out, "error": errors}).explode("name").groupby("name")
    summed = each.agg(n=("held_out", "sum"), n_all=("held_out", "size"), error=("error", "mean"))
    mean = errors.mean()
    ratios = summed["error"] / mean if mean > 0 else summed["error"] * math.nan
    columns = (summed["n"], summed["n_all"], summed["error"], ratios)
    return [
        Group(str(name), int(n), float(own), float(ratio), int(n_all - n))
        for name, n, n_all, own, ratio in zip(summed.index, *columns, strict=True)
    ]
