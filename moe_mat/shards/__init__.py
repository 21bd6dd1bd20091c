"""Long lists of crystals, in numbered parts: a plan that all workers agree on, parts that are there whole, a manifest.

``docs/scale.md`` says how they are used, `agreed_plan` and `compute_parts` are how they are made.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
