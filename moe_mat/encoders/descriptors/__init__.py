"""Descriptors: encoders that describe a crystal by named numbers and need no training."""
