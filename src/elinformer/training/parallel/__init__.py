"""Training on many ranks: series of one window on several of them, exactly, and windows on others."""

from elinformer.training.parallel.exchange import Exchange, Traffic
from elinformer.training.parallel.gradients import clip_gradients, mean_over_ranks, sum_gradients
from elinformer.training.parallel.mesh import Mesh
from elinformer.training.parallel.shard import Spread, layer_traffic, parallelize

__all__ = [
    "Exchange",
    "Mesh",
    "Spread",
    "Traffic",
    "clip_gradients",
    "layer_traffic",
    "mean_over_ranks",
    "parallelize",
    "sum_gradients",
]
