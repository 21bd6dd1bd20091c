"""The zoo: cards and weights, from a tag to a frozen expert, and the experts' embeddings with their cache."""
