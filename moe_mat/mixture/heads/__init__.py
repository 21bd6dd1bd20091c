"""Heads: from the experts' embeddings to the targets."""
