"""Fit the standardisation of the experts of physics, as the files in experts/ were made.

From the root of the repository, with the JARVIS-DFT 3D crystals as prepared data::

    python experts/recipes/fit_physics.py DATA/pretrain/jarvis_dft_3d.parquet experts --only layer_stack

It writes a safetensors file of each and prints its SHA-256 for the cards. The crystals are the first of a random order,
the same for all; those with elements that a potential does not know are passed over.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from moe_mat.crystals.readers import iter_crystals
from moe_mat.encoders.physics.base import PhysicsEncoder
from moe_mat.encoders.physics.elasticity import ElasticityEncoder
from moe_mat.encoders.physics.layer_stack import LayerStackEncoder
from moe_mat.encoders.physics.phonons import PhononEncoder
from moe_mat.encoders.physics.polar_springs import PolarSpringsEncoder
from moe_mat.zoo.weights import write_weights

# How each is made, and of how many crystals: those that cost more are fitted on fewer.
ENCODERS: dict[str, tuple[Callable[[], PhysicsEncoder], int]] = {
    "layer_stack": (LayerStackEncoder, 5000),
    "elasticity_sevennet0": (lambda: ElasticityEncoder(potential="7net-0"), 300),
    "elasticity_chgnet": (lambda: ElasticityEncoder(potential="chgnet"), 300),
    "polar_springs": (PolarSpringsEncoder, 5000),
    "phonons_sevennet0": (lambda: PhononEncoder(potential="7net-0"), 100),
}


def main() -> None:
    """Fit the encoders on the same random crystals and write their weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="file or folder of crystals")
    parser.add_argument("folder", type=Path, help="where to write the weights")
    parser.add_argument(
        "--only", nargs="+", choices=list(ENCODERS), default=list(ENCODERS), help="default: all of them"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    structures = [crystal.structure for crystal in iter_crystals(arguments.data)]
    order = np.random.default_rng(arguments.seed).permutation(len(structures))
    for name in arguments.only:
        make, n_crystals = ENCODERS[name]
        encoder = make()
        known = set(encoder.known_elements or range(1, 119))
        chosen = [structures[i] for i in order[:n_crystals]]
        encoder.fit(structure for structure in chosen if set(structure.atomic_numbers) <= known)
        path = arguments.folder / f"{name}.safetensors"
        written = write_weights(encoder.state_dict(), path)
        print(f"{path} {written.sha256} dim {sum(encoder.crystal_layers.values())}")


if __name__ == "__main__":
    main()
