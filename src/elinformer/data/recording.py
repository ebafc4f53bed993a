"""Recording: what a file or a frame holds, before it is put on a regular time grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from elinformer.data.panel import Panel
from elinformer.data.time_grid import check_increasing, fill_grid, infer_freq
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class Recording:
    """Values at the times that were recorded, with whatever else the source says.

    Attributes:
        values: (T, N) or (T, N, C) numbers, NaN is missing.
        times: (T,) datetime64[ns] or int64 step numbers, some may be left out; None where only the order is known.
        start: The first time, where `times` does not say it.
        freq: The step, None where it is to be inferred from `times`.
        steps_per_day: Where only a part of every day is recorded.
        series: N names.
        channels: C names.
        null_value: A number that stands for missing.
        name: What the panel is called.
    """

    values: np.ndarray
    times: np.ndarray | None = None
    start: str | np.datetime64 | None = None
    freq: str | None = None
    steps_per_day: int | None = None
    series: Sequence[str] | None = None
    channels: Sequence[str] | None = None
    null_value: float | None = None
    name: str = "panel"

    @property
    def has_clock(self) -> bool:
        """Whether the source itself says the time of every step."""
        return self.times is not None and self.times.dtype.kind == "M"

    def with_options(
        self,
        *,
        null_value: float | None,
        start: str | np.datetime64 | None,
        freq: str | None,
        steps_per_day: int | None,
        series: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Recording:
        """The recording with the caller's word in place of the source's, wherever the caller gave one.

        Raises:
            InputError: A start for data that have their own times, or a step without any start.
        """
        if start is not None and self.has_clock:
            raise InputError(f"expected no start, since the data have their own times, got start={str(start)!r}")
        given = {
            "null_value": null_value,
            "start": start,
            "freq": freq,
            "steps_per_day": steps_per_day,
            "series": series,
            "channels": channels,
            "name": name,
        }
        merged = replace(self, **{option: value for option, value in given.items() if value is not None})
        if merged.start is None and not merged.has_clock and (freq is not None or steps_per_day is not None):
            raise InputError(
                f"expected start=... beside freq={freq!r} and steps_per_day={steps_per_day}, since the data have no "
                "times: pass the time of the first step, or none of the three"
            )
        return merged

    def to_panel(self) -> Panel:
        """The recording on its regular grid; steps that were left out are missing.

        Raises:
            InputError: Fewer than two steps, times that repeat, go back or lie on no grid, and all that a
                Panel refuses.
        """
        if self.values.shape[:1] in {(0,), (1,)}:
            raise InputError(f"expected at least 2 time steps, got {self.values.shape[0]}: read more rows")
        values, timestamps = self.values, self.times
        freq = self.freq if self.start is not None or self.has_clock else None
        if timestamps is not None:
            check_increasing(timestamps)
            freq = infer_freq(timestamps) if self.has_clock and freq is None else freq
            timestamps, places = fill_grid(timestamps, freq if self.has_clock else None, self.steps_per_day)
            values = _spread(values, places, len(timestamps))
        return Panel.from_arrays(
            values,
            start=self.start,
            freq=freq,
            timestamps=timestamps if self.start is None else None,
            series=self.series,
            channels=self.channels,
            steps_per_day=self.steps_per_day if freq is not None else None,
            null_value=self.null_value,
            name=self.name,
        )


def _spread(values: np.ndarray, places: np.ndarray, n_steps: int) -> np.ndarray:
    if len(values) == n_steps:
        return values
    spread = np.full((n_steps, *values.shape[1:]), np.nan, np.float32)
    spread[places] = values
    return spread
