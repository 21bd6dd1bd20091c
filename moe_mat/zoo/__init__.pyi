from .cache import EmbeddingCache
from .card_files import CardError, zoo_folder
from .card_parts import ModuleOrigin, NetworkShape, PackageWeights, Readout, WeightsFile
from .cards import EncoderCard, ExpertCard, ModuleCard, NetworkCard, find_backbone, find_trunk, read_card, write_card
from .clusters import cluster_groups, cluster_labels
from .compositions import are_formulas, check_formulas, experts_of_formulas
from .crystal_passes import CrystalPasses
from .embedded import Embedded
from .embeddings import embed, embed_parts, embed_stream
from .experts import EncoderExpert, Expert, ExpertLoader, NetworkExpert, build_expert, load_expert
from .find import find_cards, list_experts
from .pooled_layers import Block, PooledLayers, layout_of
from .trunks import EmbeddingOrder
from .weights import WeightsError, write_weights

__all__ = [
    "Block",
    "CardError",
    "CrystalPasses",
    "Embedded",
    "EmbeddingCache",
    "EmbeddingOrder",
    "EncoderCard",
    "EncoderExpert",
    "Expert",
    "ExpertCard",
    "ExpertLoader",
    "ModuleCard",
    "ModuleOrigin",
    "NetworkCard",
    "NetworkExpert",
    "NetworkShape",
    "PackageWeights",
    "PooledLayers",
    "Readout",
    "WeightsError",
    "WeightsFile",
    "are_formulas",
    "build_expert",
    "check_formulas",
    "cluster_groups",
    "cluster_labels",
    "embed",
    "embed_parts",
    "embed_stream",
    "experts_of_formulas",
    "find_backbone",
    "find_cards",
    "find_trunk",
    "layout_of",
    "list_experts",
    "load_expert",
    "read_card",
    "write_card",
    "write_weights",
    "zoo_folder",
]
