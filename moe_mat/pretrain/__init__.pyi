from .batches import SourceBatches
from .cgcnn import CGCNNProperty
from .errors import RecipeError
from .hub_recipes import HubRecipe, read_hub_recipe
from .recipes import SourceRecipe, read_source_recipe
from .run import pretrain
from .settings import CGCNNTraining, ModuleTraining, NetworkTraining, Training
from .targets import SourceTarget
from .training import SourceModule, fit_source_module

__all__ = [
    "CGCNNProperty",
    "CGCNNTraining",
    "HubRecipe",
    "ModuleTraining",
    "NetworkTraining",
    "RecipeError",
    "SourceBatches",
    "SourceModule",
    "SourceRecipe",
    "SourceTarget",
    "Training",
    "fit_source_module",
    "pretrain",
    "read_hub_recipe",
    "read_source_recipe",
]
