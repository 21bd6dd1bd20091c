"""Phonons by the potentials, against a slow independent path and against experiment.

``python -m benchmarks.measurements.phonons`` computes one frequency of each known crystal, in 1/cm, for the table of
docs/physics.md; ``--slow`` compares all frequencies with those of phonopy with forces from the package's own calculator
in ASE, one displaced supercell at a time and to both sides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Lattice, Structure

from benchmarks.measurements.elasticity import POTENTIALS, calculator_of
from benchmarks.measurements.tools import say
from moe_mat.encoders import PhononEncoder, Vibrations

HALVES = np.array(list(np.ndindex(2, 2, 2))) / 2
PER_TERAHERTZ = 33.35641  # 1/cm
ORIGIN, HALF, QUARTER = [0.0] * 3, [0.5] * 3, [0.25] * 3


@dataclass(frozen=True, slots=True)
class KnownPhonon:
    """One measured frequency.

    Attributes:
        structure: The primitive cell as measured at room temperature.
        mode: ``optical``: the lowest optical one at the zone centre, transverse; ``Γ``: the highest there; ``X``: the
            highest of all, longitudinal at X in face-centred metals.
        measured: In 1/cm.
        source: Of the frequency.
    """

    structure: Structure
    mode: str
    measured: float
    source: str

    def of(self, modes: Vibrations) -> float:
        """The same frequency of a calculation, in 1/cm."""
        square = {"optical": modes.squares[0, 3:4], "Γ": modes.squares[0], "X": modes.squares}[self.mode].max()
        return float(np.sign(square) * np.sqrt(abs(square)))


def _cubic(group: str, length: float, sites: dict[str, list[float]]) -> Structure:
    crystal = Structure.from_spacegroup(group, Lattice.cubic(length), list(sites), list(sites.values()))
    return crystal.get_primitive_structure()


RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [ORIGIN, [0.3053, 0.3053, 0]]
)
REFLECTIVITY = "J. R. Jasperse, A. Kahan, J. N. Plendl, S. S. Mitra, Phys. Rev. 146, 526 (1966)"
KNOWN = {
    "C diamond": KnownPhonon(
        _cubic("Fd-3m", 3.567, {"C": ORIGIN}), "optical", 1332, "S. A. Solin, A. K. Ramdas, Phys. Rev. B 1, 1687 (1970)"
    ),
    "Si": KnownPhonon(
        _cubic("Fd-3m", 5.431, {"Si": ORIGIN}), "optical", 518, "G. Nilsson, G. Nelin, Phys. Rev. B 6, 3777 (1972)"
    ),
    "Ge": KnownPhonon(
        _cubic("Fd-3m", 5.658, {"Ge": ORIGIN}), "optical", 304, "G. Nilsson, G. Nelin, Phys. Rev. B 3, 364 (1971)"
    ),
    "GaAs": KnownPhonon(
        _cubic("F-43m", 5.653, {"Ga": ORIGIN, "As": QUARTER}),
        *("optical", 268, "D. Strauch, B. Dorner, J. Phys.: Condens. Matter 2, 1457 (1990)"),
    ),
    "SiC 3C": KnownPhonon(
        _cubic("F-43m", 4.360, {"Si": ORIGIN, "C": QUARTER}),
        *("optical", 796, "D. W. Feldman, J. H. Parker, W. J. Choyke, L. Patrick, Phys. Rev. 173, 787 (1968)"),
    ),
    "NaCl": KnownPhonon(
        _cubic("Fm-3m", 5.640, {"Na": ORIGIN, "Cl": HALF}),
        *("optical", 164, "G. Raunio, L. Almqvist, R. Stedman, Phys. Rev. 178, 1496 (1969)"),
    ),
    "LiF": KnownPhonon(_cubic("Fm-3m", 4.026, {"Li": ORIGIN, "F": HALF}), "optical", 306, REFLECTIVITY),
    "MgO": KnownPhonon(_cubic("Fm-3m", 4.212, {"Mg": ORIGIN, "O": HALF}), "optical", 401, REFLECTIVITY),
    "CaF2": KnownPhonon(
        _cubic("Fm-3m", 5.463, {"Ca": ORIGIN, "F": QUARTER}),
        *("optical", 257, "W. Kaiser, W. G. Spitzer, R. H. Kaiser, L. E. Howarth, Phys. Rev. 127, 1950 (1962)"),
    ),
    "TiO2 rutile": KnownPhonon(
        RUTILE, "Γ", 826, "S. P. S. Porto, P. A. Fleury, T. C. Damen, Phys. Rev. 154, 522 (1967)"
    ),
    "Al": KnownPhonon(
        _cubic("Fm-3m", 4.050, {"Al": ORIGIN}), "X", 323, "R. Stedman, G. Nilsson, Phys. Rev. 145, 492 (1966)"
    ),
    "Cu": KnownPhonon(
        _cubic("Fm-3m", 3.615, {"Cu": ORIGIN}),
        *("X", 242, "E. C. Svensson, B. N. Brockhouse, J. M. Rowe, Phys. Rev. 155, 619 (1967)"),
    ),
}


def slow_frequencies(structure: Structure, calculator: Any, *, displacement: float) -> np.ndarray:
    """All frequencies at the eight half wave vectors, in 1/cm, ascending ``[8 * 3 * n_atoms]``."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        numbers=structure.atomic_numbers, scaled_positions=structure.frac_coords, cell=structure.lattice.matrix
    )
    phonopy = Phonopy(cell, supercell_matrix=2 * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    phonopy.generate_displacements(distance=displacement)
    forces = []
    for displaced in phonopy.supercells_with_displacements or []:
        atoms = Atoms(numbers=displaced.numbers, positions=displaced.positions, cell=displaced.cell, pbc=True)
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    phonopy.forces = np.array(forces)
    phonopy.produce_force_constants(show_drift=False)
    phonopy.symmetrize_force_constants(show_drift=False)
    return np.sort(phonopy.run_qpoints(HALVES).frequencies, axis=None) * PER_TERAHERTZ


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a frequency of each known crystal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measurements.phonons", description=__doc__)
    parser.add_argument("--potentials", nargs="+", choices=POTENTIALS, default=["7net-0"])
    parser.add_argument("--slow", action="store_true", help="compare with phonopy and ASE")
    parser.add_argument("--displacement", type=float, default=0.003, help="of the slow path, in Å (default: 0.003)")
    options = parser.parse_args(arguments)
    for potential in options.potentials:
        encoder = PhononEncoder(potential=potential)
        for name, known in KNOWN.items():
            ((modes, _),) = encoder.vibrations([encoder.prepare(known.structure)])
            own = known.of(modes)
            line = f"{potential:14} {name:12} {own:7.1f} /cm"
            line += f"  experiment {known.measured:6.0f} ({own / known.measured - 1:+.0%})"
            if options.slow:
                calculator = calculator_of(potential)
                slow = slow_frequencies(known.structure, calculator, displacement=options.displacement)
                found = np.sort(np.sign(modes.squares) * np.sqrt(np.abs(modes.squares)), axis=None)
                counted = np.abs(slow) > 20
                worst = (np.abs(found - slow) / np.abs(slow))[counted].max()
                line += f"  slow path: within {worst:.2%} above 20 /cm"
            say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
