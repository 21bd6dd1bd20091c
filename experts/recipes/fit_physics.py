"""Fit the standardisation of the experts of physics, as the files in experts/ were made.

From the root of the repository, with the JARVIS-DFT 3D crystals as prepared data::

    python experts/recipes/fit_physics.py polar_springs DATA/pretrain/jarvis_dft_3d.parquet experts
    python experts/recipes/fit_physics.py phonons DATA/pretrain/jarvis_dft_3d.parquet experts --crystals 400

It writes the encoder's ``.safetensors`` and prints its SHA-256 for the cards. The result depends on the crystals, their
number and the seed only. Crystals that the encoder cannot represent are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from rich.progress import track

from moe_mat.crystals.readers import iter_crystals
from moe_mat.encoders.physics.base import PhysicsEncoder
from moe_mat.encoders.physics.polar_springs import PolarSpringsEncoder
from moe_mat.zoo.weights import write_weights

ENCODERS: dict[str, Callable[[], PhysicsEncoder]] = {
    "polar_springs": PolarSpringsEncoder,
}


def main() -> None:
    """Fit one encoder on random crystals and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("expert", choices=list(ENCODERS))
    parser.add_argument("data", type=Path, help="file or folder of crystals")
    parser.add_argument("folder", type=Path, help="where to write the weights")
    parser.add_argument("--crystals", type=int, default=5000, help="size of the random sample (default: 5000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    structures = [crystal.structure for crystal in iter_crystals(arguments.data)]
    chosen = np.random.default_rng(arguments.seed).permutation(len(structures))[: arguments.crystals]
    encoder = ENCODERS[arguments.expert]()
    encoder.fit(_representable(encoder, [structures[i] for i in np.sort(chosen)]))
    path = arguments.folder / f"{arguments.expert}.safetensors"
    written = write_weights(encoder.state_dict(), path)
    print(f"{path} {written.sha256} dim {sum(encoder.crystal_layers.values())}")


def _representable(encoder: PhysicsEncoder, structures: list[Structure]) -> Iterator[Structure]:
    for structure in track(structures):
        if {site.specie.Z for site in structure} <= set(encoder.known_elements):
            yield structure
        else:
            print(f"left out: {structure.formula}")


if __name__ == "__main__":
    main()
