"""Static dipole polarisabilities of the neutral atoms.

Recommended values of P. Schwerdtfeger and J. K. Nagle, 2018 table of static dipole polarizabilities of the neutral
elements in the periodic table, Molecular Physics 117, 1200-1225 (2019), doi:10.1080/00268976.2018.1535143.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

BOHR_CUBED = 0.148184711  # Å³
# fmt: off
ATOMIC_UNITS = (
    4.507, 1.384,                                                                                   # H to He
    164.1, 37.74, 20.5, 11.3, 7.4, 5.3, 3.74, 2.66,                                                 # Li to Ne
    162.7, 71.2, 57.8, 37.3, 25, 19.4, 14.6, 11.08,                                                 # Na to Ar
    289.7, 160.8, 97, 100, 87, 83, 68, 62, 55, 49, 46.5, 38.67, 50, 40, 30, 29, 21, 16.78,          # K to Kr
    319.8, 197.2, 162, 112, 98, 87, 79, 72, 66, 26.14, 55, 46, 65, 53, 43, 38, 32.9, 27.32,         # Rb to Xe
    400.9, 272, 215, 205, 216, 208, 200, 192, 184, 158, 170, 165, 156, 150, 144, 139, 137,          # Cs to Lu
    103, 74, 68, 62, 57, 54, 48, 36, 33.91, 50, 47, 48, 44, 42, 35,                                 # Hf to Rn
    317.8, 246, 203, 217, 154, 129, 151, 132, 131, 144, 125, 122, 118, 113, 109, 110, 320,          # Fr to Lr
)
# fmt: on


@lru_cache(maxsize=1)
def polarisabilities() -> np.ndarray:
    """In Å³, indexed by atomic number ``[104]``; NaN for none."""
    return np.array([np.nan, *ATOMIC_UNITS]) * BOHR_CUBED
