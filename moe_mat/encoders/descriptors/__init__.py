"""Descriptors: encoders that describe a crystal by named numbers and need no training.

One file a physics: `composition` (what it is made of), `geometry` (volume, density), `shells` (who is a neighbour),
`bonding` (coordination, lengths, angles), `environment` (what the atoms see), `springs` (vibrations and elasticity),
`packing` (gaps and vacuum) and `symmetry`. `encoders` composes the layers of the two registered encoders from them, and
`standardised` is their base.
"""
