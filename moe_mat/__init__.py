"""Mixture-of-experts training for materials-property prediction from few labels.

Each room of the package exports what others may use: ``from moe_mat.zoo import find_cards``. A room's ``__init__.pyi``
lists the names, which are imported on first use, because torch, Lightning and pymatgen take seconds.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("moe_mat")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
