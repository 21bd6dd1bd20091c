"""What to measure next: goals, what a measurement is expected to bring, and batches of crystals that differ.

``docs/suggest.md`` says how it is used, `moe_mat.MoERegressor.suggest` and ``moe-mat suggest`` are the ways in.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
