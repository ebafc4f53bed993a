"""Training on many ranks: series of one window on several of them, exactly, and windows on others."""

from elinformer.training.parallel.exchange import Exchange, Traffic
from elinformer.training.parallel.gradients import clip_gradients, mean_over_ranks, sum_gradients
from elinformer.training.parallel.mesh import Mesh
from elinformer.training.parallel.shard import layer_traffic, own_state, parallelize, whole_state

__all__ = [
    "Exchange",
    "Mesh",
    "Traffic",
    "clip_gradients",
    "layer_traffic",
    "mean_over_ranks",
    "own_state",
    "parallelize",
    "sum_gradients",
    "whole_state",
]
