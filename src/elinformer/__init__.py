"""Forecast many related time series together, with attention whose cost is linear in their number.

Public names are imported on first use: `import elinformer` imports neither torch nor pandas.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
