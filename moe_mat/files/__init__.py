"""Where things lie on disk: folders, whole files or none, and the commit that wrote them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
