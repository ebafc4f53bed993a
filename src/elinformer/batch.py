"""Batch: windows of many series as named tensors, the one argument of every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

COVARIATES = ("past", "future", "static")
"""The fields that a model may have no use for; a model names those that it uses in its attribute `uses`."""


class Batch(NamedTuple):
    """B windows of N series of C channels, T steps of input and S of horizon.

    A model takes it scaled, in the units of the data it is used otherwise. T counts the steps of lags too, which stand
    before the window.

    Attributes:
        values: (B, T, N, C); anything where the mask is False.
        mask: (B, T, N, C) bool, True = observed.
        calendar: (B, T + S, 2) slot of the day and day of the week of every step of window and horizon, 0 = neutral;
            None without a calendar.
        target: (B, S, N, C), the values over the horizon; None where they are not known yet.
        target_mask: (B, S, N, C) bool, True = observed.
        past: (B, T, N, P) covariates that are observed up to the origin.
        future: (B, T + S, N, F) covariates that are known over the horizon.
        static: (N, G) features of the series.
        series: (N,) numbers of these series among those of the model; None = all of them, in order.
    """

    values: Tensor
    mask: Tensor
    calendar: Tensor | None = None
    target: Tensor | None = None
    target_mask: Tensor | None = None
    past: Tensor | None = None
    future: Tensor | None = None
    static: Tensor | None = None
    series: Tensor | None = None

    def of_series(self, own: Tensor) -> Batch:
        """Return the same windows of the series with the numbers `own` (n,)."""
        columns = {name: getattr(self, name) for name in ("values", "mask", "target", "target_mask", "past", "future")}
        picked = {name: None if x is None else x[:, :, own] for name, x in columns.items()}
        static = None if self.static is None else self.static[own]
        return self._replace(**picked, static=static, series=own if self.series is None else self.series[own])

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        moved = {name: None if x is None else x.to(device) for name, x in self._asdict().items()}
        return self._replace(**moved)
