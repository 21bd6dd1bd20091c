"""Elastic constants by the potentials, against a slow independent path and against experiment.

``python -m benchmarks.measurements.elasticity`` computes the twelve known crystals with each potential and prints the
table of docs/physics.md; ``--slow`` repeats it with the package's own calculator in ASE, one strain at a time, each
with its atoms relaxed, and prints both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from benchmarks.measurements.known_crystals import KNOWN, KnownCrystal
from benchmarks.measurements.tools import say
from moe_mat.encoders import ElasticityEncoder

POTENTIALS = ("7net-0", "7net-l3i5", "7net-mf-0", "chgnet", "chgnet-r2scan")
STRAIN = 0.005


def calculator_of(potential: str) -> Any:
    """The ASE calculator of the package that a potential comes from."""
    if potential.startswith("7net"):
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(potential, device="cpu", modal="R2SCAN" if potential == "7net-mf-0" else None)
    from chgnet.model import CHGNet, CHGNetCalculator

    model = CHGNet.load(model_name={"chgnet": "0.3.0", "chgnet-r2scan": "r2scan"}[potential], verbose=False)
    return CHGNetCalculator(model, use_device="cpu")


def slow_stiffness(crystal: KnownCrystal, calculator: Any) -> np.ndarray:
    """Stiffness in Voigt's notation and GPa ``[6, 6]``: full relaxation, then strains with relaxed atoms."""
    atoms = crystal.structure.get_primitive_structure().to_ase_atoms()
    atoms.calc = calculator
    cell_and_atoms: Any = FrechetCellFilter(atoms)
    BFGS(cell_and_atoms, logfile=None).run(fmax=0.001, steps=300)
    columns = []
    for k in range(6):
        of_both = [_stress(atoms, k, sign * STRAIN) for sign in (1, -1)]
        columns.append((of_both[0] - of_both[1]) / (2 * STRAIN) / GPa)
    matrix = np.array(columns)
    return (matrix + matrix.T) / 2


def _stress(atoms: Atoms, k: int, size: float) -> np.ndarray:
    """Stress under one of Voigt's strains with the atoms relaxed, in eV/Å³ ``[6]``."""
    i, j = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][k]
    strain = np.zeros((3, 3))
    strain[i, j] += size / 2
    strain[j, i] += size / 2
    strained = atoms.copy()
    strained.calc = atoms.calc
    strained.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    BFGS(strained, logfile=None).run(fmax=0.0005, steps=200)
    return full_3x3_to_voigt_6_stress(strained.get_stress(voigt=False))


def averages(stiffness: np.ndarray) -> tuple[float, float]:
    """Hill's bulk and shear modulus of a stiffness in Voigt's notation ``[6, 6]``."""
    c, s = stiffness, np.linalg.inv(stiffness)
    bulk = (c[:3, :3].sum() / 9, 1 / s[:3, :3].sum())
    c_shear = (np.trace(c[:3, :3]) - (c[0, 1] + c[0, 2] + c[1, 2]) + 3 * np.trace(c[3:, 3:])) / 15
    s_shear = 15 / (4 * np.trace(s[:3, :3]) - 4 * (s[0, 1] + s[0, 2] + s[1, 2]) + 3 * np.trace(s[3:, 3:]))
    return float(sum(bulk) / 2), float((c_shear + s_shear) / 2)


def to_voigt(mandel: np.ndarray) -> np.ndarray:
    """A stiffness from Mandel's notation to Voigt's ``[6, 6]``."""
    weights = np.array([1, 1, 1, *[np.sqrt(2)] * 3])
    return mandel / np.outer(weights, weights)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print bulk and shear moduli of all known crystals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measurements.elasticity", description=__doc__)
    parser.add_argument("--potentials", nargs="+", choices=POTENTIALS, default=list(POTENTIALS))
    parser.add_argument("--slow", action="store_true", help="compare with ASE, one strain at a time")
    parser.add_argument("--output", type=Path, help="JSON file of all numbers")
    options = parser.parse_args(arguments)
    found: dict[str, dict[str, Any]] = {}
    for name, crystal in KNOWN.items():
        bulk, shear = averages(crystal.stiffness)
        found[name] = {"experiment": {"K": bulk, "G": shear, "source": crystal.source}}
    for potential in options.potentials:
        encoder = ElasticityEncoder(potential=potential)
        samples = [encoder.prepare(crystal.structure) for crystal in KNOWN.values()]
        calculated = encoder.calculate([sample for sample in samples if sample is not None])
        for (name, crystal), elastic in zip(KNOWN.items(), calculated, strict=True):
            bulk, shear = averages(to_voigt(elastic.stiffness.relaxed / GPa))
            row = {"K": bulk, "G": shear, "K_equation_of_state": elastic.equation[0] / GPa}
            line = f"{potential:14} {name:14} K {bulk:7.1f} G {shear:7.1f} GPa"
            if options.slow:
                slow = averages(slow_stiffness(crystal, calculator_of(potential)))
                row |= {"K_slow": slow[0], "G_slow": slow[1]}
                line += f"   slow K {slow[0]:7.1f} ({bulk / slow[0] - 1:+.2%})"
                line += f" G {slow[1]:7.1f} ({shear / slow[1] - 1:+.2%})"
            experiment = found[name]["experiment"]
            say(f"{line}   experiment K {experiment['K']:6.1f} G {experiment['G']:6.1f}")
            found[name][potential] = row
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
