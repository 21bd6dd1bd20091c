"""Pretraining: from source data and a recipe to experts, networks and modules with cards.

`pretrain` does all that a recipe says; a training of another kind is a module for `fit_source_module`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
