"""The leakage audit: which crystals the experts have seen before.

`match` compares crystals with those that the experts of some cards were trained on; `AuditReport` says what it found
for the quantity that is predicted.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
