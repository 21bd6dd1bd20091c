"""The benchmark's tasks: their cards, and the recipes that build their data."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
