"""The mixture: gate, target transforms and heads, the LightningModule and its data, and the one training road."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
