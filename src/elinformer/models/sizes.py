"""What the task says of a model, as opposed to what people choose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What a model may have to know of its task; the words are those of `ELinFormerConfig`."""

    window: int
    horizon: int
    n_series: int
    n_channels: int = 1
    n_lags: int = 0
    n_slots: int = 0
