"""Neighbour graphs and message passing on them: the only room that knows DGL."""
