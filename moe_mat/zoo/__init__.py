"""The zoo: cards and weights, from a tag to a frozen expert, and the experts' embeddings with their cache.

`find_cards` takes tags, patterns and folders everywhere in the package; `load_expert` and `build_expert` make the
expert of a card, and `embed` asks several at once and remembers what they said.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
