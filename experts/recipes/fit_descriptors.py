"""Fit the standardisation of the descriptor experts, as the files in experts/ were made.

From the root of the repository, with the JARVIS-DFT 3D crystals as prepared data::

    python experts/recipes/fit_descriptors.py DATA/pretrain/jarvis_dft_3d.parquet experts

It writes ``magpie.safetensors``, ``elements.safetensors``, ``structure_features.safetensors`` and
``local_environment.safetensors`` (the experts of an encoder's layers share its file) and prints their SHA-256 for the
cards. The result depends on the crystals, their number and the seed only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from moe_mat.crystals.readers import iter_crystals
from moe_mat.encoders.descriptors.elements import ElementEncoder
from moe_mat.encoders.descriptors.encoders import DescriptorEncoder, LocalEnvironmentEncoder
from moe_mat.zoo.weights import write_weights

ENCODERS = {
    "magpie": lambda: DescriptorEncoder(layers=["composition"]),
    "elements": ElementEncoder,
    "structure_features": lambda: DescriptorEncoder(layers=["structure"]),
    "local_environment": LocalEnvironmentEncoder,
}


def main() -> None:
    """Fit the encoders on the same random crystals and write their weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="file or folder of crystals")
    parser.add_argument("folder", type=Path, help="where to write the weights")
    parser.add_argument("--crystals", type=int, default=5000, help="size of the random sample (default: 5000)")
    parser.add_argument(
        "--only", nargs="+", choices=list(ENCODERS), default=list(ENCODERS), help="default: all of them"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    formulas = arguments.only == ["elements"]
    structures = [crystal.structure for crystal in iter_crystals(arguments.data, formulas=formulas)]
    chosen = np.random.default_rng(arguments.seed).permutation(len(structures))[: arguments.crystals]
    for name in arguments.only:
        encoder = ENCODERS[name]()
        encoder.fit(structures[i] for i in np.sort(chosen))
        path = arguments.folder / f"{name}.safetensors"
        written = write_weights(encoder.state_dict(), path)
        print(f"{path} {written.sha256} dim {sum(encoder.crystal_layers.values())}")


if __name__ == "__main__":
    main()
