from .batches import SourceBatches
from .cgcnn import CGCNNProperty
from .recipes import RecipeError, SourceRecipe, SourceTarget, Training, read_recipe
from .run import pretrain
from .training import SourceModule, fit_source_module

__all__ = [
    "CGCNNProperty",
    "RecipeError",
    "SourceBatches",
    "SourceModule",
    "SourceRecipe",
    "SourceTarget",
    "Training",
    "fit_source_module",
    "pretrain",
    "read_recipe",
]
