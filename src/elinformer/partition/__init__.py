"""Exact forecasts and training of many series in partitions, one after the other or on several ranks."""

from elinformer.partition.chain import check_partitions, run_chain, why_not_partitioned
from elinformer.partition.forecast import PartitionedForecast, forecasting
from elinformer.partition.loss import loss_in_partitions

__all__ = [
    "PartitionedForecast",
    "check_partitions",
    "forecasting",
    "loss_in_partitions",
    "run_chain",
    "why_not_partitioned",
]
