"""Panels of series: reading, fetching, simulating, splitting into windows. Knows nothing of networks."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
