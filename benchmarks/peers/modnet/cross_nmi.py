"""How much the features of a preset say of each other: ``python cross_nmi.py CRYSTALS.parquet CACHE.sqlite``.

MODNet leaves out features that say what others say already. Its authors measured that once, on crystals of the
Materials Project, for features that the fast preset does not have; here it is done for those that it has. No target is
involved.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from features import features_of
from modnet.preprocessing import get_cross_nmi

PRESET = "Matminer2024Fast"
N_CRYSTALS = 500
FILE = Path(__file__).with_name("cross_nmi.csv")


def main(crystals: Path, cache: Path) -> None:
    """Write `FILE`, from a seeded sample of crystals."""
    rows = pd.read_parquet(crystals)
    rows = rows.sample(N_CRYSTALS, random_state=0).reset_index(drop=True)
    rows["key"] = [f"cross_nmi {material_id}" for material_id in rows["material_id"]]
    nmi = get_cross_nmi(features_of(rows, PRESET, cache), n_jobs=1, random_state=1)
    nmi.astype(float).round(3).to_csv(FILE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
