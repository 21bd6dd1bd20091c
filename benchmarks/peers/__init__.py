"""Peers that cannot be installed beside the package: their environments, and how a problem gets there and back."""
