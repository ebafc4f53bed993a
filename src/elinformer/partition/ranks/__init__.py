"""Exact training and scoring on several ranks, which share the series of a window or the windows of a batch."""

from elinformer.partition.ranks.gradients import clip_gradients, sum_gradients
from elinformer.partition.ranks.group import RankGroup, Traffic
from elinformer.partition.ranks.mesh import Mesh
from elinformer.partition.ranks.scoring import backtest_on_ranks
from elinformer.partition.ranks.sharding import ShardedModule, shard_module

__all__ = [
    "Mesh",
    "RankGroup",
    "ShardedModule",
    "Traffic",
    "backtest_on_ranks",
    "clip_gradients",
    "shard_module",
    "sum_gradients",
]
