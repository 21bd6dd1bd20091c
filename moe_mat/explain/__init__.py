"""Why a crystal is predicted as it is: its neighbours in the training, what experts say of it, and who has seen it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
