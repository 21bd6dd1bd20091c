"""Encoders: code that turns a crystal into features per layer. Weights and cards live in the zoo."""

from moe_mat.encoders.base import Encoder, Features
from moe_mat.encoders.registry import get_encoder, register_encoder

__all__ = ["Encoder", "Features", "get_encoder", "register_encoder"]
