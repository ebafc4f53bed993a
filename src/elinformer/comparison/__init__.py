"""Comparisons: many models on the same windows with the same budget, and tables of their scores."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
