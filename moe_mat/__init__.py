"""Mixture-of-experts training for materials-property prediction from few labels."""

from moe_mat.cards import list_experts
from moe_mat.estimator import MoERegressor
from moe_mat.readers import read_structures
from moe_mat.zoo import load_expert

__all__ = ["MoERegressor", "list_experts", "load_expert", "read_structures"]
