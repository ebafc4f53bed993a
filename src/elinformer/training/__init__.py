"""Training with Lightning: the only package that imports it, and only when an attribute is first used."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
