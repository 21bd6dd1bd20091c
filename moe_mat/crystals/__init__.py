"""Files and objects become checked crystals with ids, targets and splits.

Whoever has crystals starts here: `read_structures` and `iter_crystals` read every format, `as_structure` takes objects,
and what cannot be used is a `LeftOut` with its reason.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
