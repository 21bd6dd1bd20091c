"""Where errors are, of crystals that were not learned from: by element, chemical system and number of atoms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

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
        mae: Their mean absolute error; NaN where there are none.
        ratio: That in units of the mean over all.
        n_train: How many were learned from.
    """

    name: str
    n: int
    mae: float
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
    members = {name: group for name, group in _groups(predictions, predictions["formula"].map(elements_of))}
    nothing = predictions.iloc[:0]
    mae = _mae(predictions)
    return [
        [None if symbol == "." else _group(symbol, members.get(symbol, nothing), mae) for symbol in row.split()]
        for row in PERIODIC_TABLE
    ]


def by_system(predictions: pd.DataFrame) -> list[Group]:
    """Chemical systems, those with the largest part of all errors first."""
    systems = predictions["formula"].map(lambda formula: ["-".join(elements_of(formula))])
    found = _all_groups(predictions, systems)
    return sorted(found, key=lambda one: -one.n * one.mae)[:N_SYSTEMS]


def by_size(predictions: pd.DataFrame) -> list[Group]:
    """Classes of the number of atoms in the cell, from small to large."""
    place = np.searchsorted(SIZES, predictions["n_atoms"].to_numpy())
    sizes = predictions.assign(place=place)
    mae = _mae(predictions)
    groups = [_group(_size(number), of, mae) for number, of in sizes.groupby("place")]
    return [one for one in groups if one.n]


def _size(number: int) -> str:
    lowest = SIZES[number - 1] + 1 if number else 1
    if number == len(SIZES):
        return f"{lowest} or more"
    return f"{lowest}" if lowest == SIZES[number] else f"{lowest} to {SIZES[number]}"


def _all_groups(predictions: pd.DataFrame, names: pd.Series) -> list[Group]:
    mae = _mae(predictions)
    found = (_group(name, members, mae) for name, members in _groups(predictions, names))
    return [one for one in found if one.n]


def _groups(predictions: pd.DataFrame, names: pd.Series) -> Iterable[tuple[str, pd.DataFrame]]:
    """Each name with the crystals that have it among theirs."""
    each = names.explode()
    for name, places in each.groupby(each).groups.items():
        yield str(name), predictions.loc[places]


def _mae(predictions: pd.DataFrame) -> float:
    errors = predictions.loc[predictions["part"] != "train", "error"].abs()
    return float(errors.mean()) if len(errors) else float("nan")


def _group(name: str, members: pd.DataFrame, mae: float) -> Group:
    own, n = _mae(members), int((members["part"] != "train").sum())
    return Group(name, n, own, own / mae if mae > 0 else float("nan"), len(members) - n)
