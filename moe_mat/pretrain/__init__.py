"""Pretraining: from source data and a recipe to experts, networks and modules with cards."""
