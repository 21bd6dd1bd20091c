from .cache import EmbeddingCache
from .cards import (
    CardError,
    ExpertCard,
    file_sha256,
    find_backbone,
    find_cards,
    find_trunk,
    list_experts,
    read_card,
    write_card,
    zoo_folder,
)
from .embeddings import Embedded, embed, embed_stream
from .experts import EncoderExpert, Expert, NetworkExpert, build_expert, load_expert
from .weights import WeightsError, write_weights

__all__ = [
    "CardError",
    "Embedded",
    "EmbeddingCache",
    "EncoderExpert",
    "Expert",
    "ExpertCard",
    "NetworkExpert",
    "WeightsError",
    "build_expert",
    "embed",
    "embed_stream",
    "file_sha256",
    "find_backbone",
    "find_cards",
    "find_trunk",
    "list_experts",
    "load_expert",
    "read_card",
    "write_card",
    "write_weights",
    "zoo_folder",
]
