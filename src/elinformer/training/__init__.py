"""Training of any module with the library's forward: LightningModule, Trainer set-up, saving."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
