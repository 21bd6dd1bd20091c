"""MoMa: how much each module of a hub counts for a task, and modules merged into one expert.

`compose` finds the weights on a task's training crystals, `write_merged` writes the expert of weighted modules.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
