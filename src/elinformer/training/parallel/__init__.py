"""Training on many ranks: series of one window on several of them, exactly, and windows on others."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "exchange": ["Exchange", "Traffic"],
        "gradients": ["clip_gradients", "mean_over_ranks", "sum_gradients"],
        "mesh": ["Mesh"],
        "shard": ["Spread", "layer_traffic", "parallelize"],
    },
)
