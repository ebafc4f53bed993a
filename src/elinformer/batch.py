"""Batch: windows of many series as named tensors. It is the argument of every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

COVARIATES = ("past", "future", "static")
"""Fields with covariates. A model lists those that it uses in its attribute `uses`."""


class Batch(NamedTuple):
    """B windows of N series with C channels, T input steps and S horizon steps.

    The values are in the units of the data, except in a model, which takes scaled values. T includes the steps of the
    lags, which come before the window.

    Attributes:
        values: (B, T, N, C). They can be anything where the mask is False.
        mask: (B, T, N, C) bool, True = observed.
        calendar: (B, T + S, 3), slot of the day, day of the week and slot of the year of every step of window and
            horizon, 0 = neutral; None without a calendar.
        target: (B, S, N, C), the values over the horizon; None if they are not known yet.
        target_mask: (B, S, N, C) bool, True = observed.
        past: (B, T, N, P), covariates that are known up to the origin, NaN where missing; (B, T, 1, P) where all series
            share them.
        future: (B, T + S, N, F), covariates that are known over the horizon too, NaN where missing; (B, T + S, 1, F)
            where all series share them.
        static: (N, G), features of the series.
        level: (B, N, 2C), level and logarithm of the deviation of each window in the units of training; None unless the
            values are scaled by window: see `elinformer.models.scaled`.
        series: (N,), numbers of the series in the model; None = all series of the model, in order.

    Example:
        >>> import torch
        >>> values = torch.arange(12.0).reshape(1, 4, 3, 1)  # B=1 window, T=4 steps, N=3 series, C=1 channel
        >>> batch = Batch(values, mask=torch.ones_like(values, dtype=torch.bool))
        >>> batch.select_series(torch.tensor([2, 0])).values[0, 0, :, 0]
        tensor([2., 0.])
    """

    values: Tensor
    mask: Tensor
    calendar: Tensor | None = None
    target: Tensor | None = None
    target_mask: Tensor | None = None
    past: Tensor | None = None
    future: Tensor | None = None
    static: Tensor | None = None
    level: Tensor | None = None
    series: Tensor | None = None

    def select_series(self, numbers: Tensor) -> Batch:
        """Return the windows of the series with the numbers (n,)."""
        columns = {name: getattr(self, name) for name in ("values", "mask", "target", "target_mask")}
        selected = {name: None if x is None else x[:, :, numbers] for name, x in columns.items()}
        for name in ("past", "future"):
            x = getattr(self, name)
            selected[name] = x if x is None or x.shape[2] == 1 else x[:, :, numbers]
        static = None if self.static is None else self.static[numbers]
        series = numbers if self.series is None else self.series[numbers]
        level = None if self.level is None else self.level[:, numbers]
        return self._replace(**selected, static=static, level=level, series=series)

    def to(self, device: torch.device | str) -> Batch:
        """Move all tensors to a device."""
        moved = {name: None if x is None else x.to(device) for name, x in self._asdict().items()}
        return self._replace(**moved)
