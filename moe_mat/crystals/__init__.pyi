from .checks import structure_problem
from .datasets import fetch_matminer, list_matminer, load_matminer, load_quickstart, read_matminer
from .duplicates import same_crystals
from .errors import CrystalError, FetchError, LeftOut, OnError, UnsupportedCrystalError
from .folds import Fold, make_folds, times_of
from .formulas import Formula, as_formula
from .grouping import chemical_system_groups, formula_groups, group_labels
from .held_out import HeldOut
from .readers import iter_crystals, open_table, read_structures
from .splits import PARTS, Split, group_split, random_split, read_split
from .structure_arrays import structure_from_arrays
from .structures import Crystal, as_structure, crystals_from_objects, structure_key
from .training_crystals import TrainingCrystals, formula_hash, part_of

__all__ = [
    "PARTS",
    "Crystal",
    "CrystalError",
    "FetchError",
    "Fold",
    "Formula",
    "HeldOut",
    "LeftOut",
    "OnError",
    "Split",
    "TrainingCrystals",
    "UnsupportedCrystalError",
    "as_formula",
    "as_structure",
    "chemical_system_groups",
    "crystals_from_objects",
    "fetch_matminer",
    "formula_groups",
    "formula_hash",
    "group_labels",
    "group_split",
    "iter_crystals",
    "list_matminer",
    "load_matminer",
    "load_quickstart",
    "make_folds",
    "open_table",
    "part_of",
    "random_split",
    "read_matminer",
    "read_split",
    "read_structures",
    "same_crystals",
    "structure_from_arrays",
    "structure_key",
    "structure_problem",
    "times_of",
]
