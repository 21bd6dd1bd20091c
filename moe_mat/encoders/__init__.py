"""Encoders: code that turns a crystal into features of every layer. Weights and cards live in the zoo.

A new encoder is a subclass of `Encoder` that `register_encoder` gives a name, see docs/add-an-expert.md.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
