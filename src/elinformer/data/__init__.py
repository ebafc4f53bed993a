"""Panels of series: read, fetch, simulate, scale and split them into windows. No module here imports a network."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
