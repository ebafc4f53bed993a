"""Recording: the content of a file or a frame, before it is put on a regular time grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from elinformer.data.form import PLAIN, Form, Resample
from elinformer.data.io.limits import check_dense
from elinformer.data.panel import Panel, check_neighbours, check_values, panel_fields
from elinformer.data.pieces import Pieces, combined, fill_arrays
from elinformer.data.steps import is_step_number, step_name
from elinformer.data.time_grid import bins, check_increasing, fill_grid, infer_freq, wall_clock
from elinformer.errors import InputError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from elinformer.data.pieces import DType, Progress
    from elinformer.data.roles import Roles
    from elinformer.data.steps import Freq

    Allocate = Callable[[tuple[int, int, int], DType], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Recording:
    """Values at the recorded times, with the description that the source gives.

    Attributes:
        values: (T, N) or (T, N, C) numbers, NaN is missing; or the pieces of such an array.
        times: (T,) datetime64[ns] or int64 step numbers, which may leave steps out; None if only their order is known.
        start: Time of the first step, for a source without times.
        freq: Step as pandas writes it, None if it is to be inferred from `times`.
        steps_per_day: Steps of a day if only a part of it is recorded.
        series: N names.
        channels: C names.
        locations: (N, 2) latitude and longitude in degrees.
        null_value: Number that stands for missing.
        name: Name of the panel.
        form: How the data came.
        complete: Adds covariates to the panel; None = there are none.
        zone: Zone by whose clock `times`, which are in UTC then, are put on the grid; None for times without a zone.
        resample: How the values of a step are made one, if the times lie on no grid: "mean" or "sum".
        notes: What was guessed about the source, in words.
    """

    values: np.ndarray | Pieces
    times: np.ndarray | None = None
    start: str | np.datetime64 | None = None
    freq: str | None = None
    steps_per_day: int | None = None
    series: Sequence[str] | None = None
    channels: Sequence[str] | None = None
    locations: np.ndarray | None = None
    null_value: float | None = None
    name: str = "panel"
    form: Form = PLAIN
    complete: Callable[[Panel], Panel] | None = None
    zone: dt.tzinfo | None = None
    resample: Resample | None = None
    notes: Sequence[str] = ()

    @classmethod
    def of_panel(cls, panel: Panel) -> Recording:
        """Return the recording of which `panel` was made."""
        covariates = {name: getattr(panel, name) for name in ("past", "future", "static")}
        return cls(
            values=panel.values,
            times=panel.timestamps,
            freq=panel.freq,
            steps_per_day=panel.steps_per_day,
            series=panel.series,
            channels=panel.channels,
            locations=panel.locations,
            name=panel.name,
            form=panel.form,
            complete=lambda made: replace(made, **covariates, checked=True),
        )

    def with_roles(self, roles: Roles) -> Recording:
        """Return the recording of a panel whose columns have roles, such as that of a covariate."""
        if not roles:
            return self
        earlier, roles = self.complete, replace(roles, null_value=self.null_value)
        return replace(
            self, null_value=None, complete=lambda panel: roles.assign(panel if earlier is None else earlier(panel))
        )

    @property
    def has_clock(self) -> bool:
        """True if the source holds the time of every step."""
        return self.times is not None and self.times.dtype.kind == "M"

    def with_options(
        self,
        *,
        null_value: float | None,
        start: str | np.datetime64 | None,
        freq: Freq | None,
        steps_per_day: int | None,
        series: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        name: str | None = None,
        resample: Resample | None = None,
    ) -> Recording:
        """Return the recording with every option that is not None in place of the source's own.

        Raises:
            InputError: The recording has fewer than two rows, a start is given for data that have times, or a step for
                data that have neither times nor a start.
        """
        if self.pieces.shape[0] < 2:
            raise InputError(f"expected at least 2 time steps, got {self.pieces.shape[0]}: read more rows")
        if start is not None and self.has_clock:
            raise InputError(f"expected no start, since the data have their own times, got start={str(start)!r}")
        if is_step_number(freq) and start is None and self.start is None and not self.has_clock:
            freq = None
        if resample not in (None, *get_args(Resample)):
            raise InputError(f"expected resample as {' or '.join(get_args(Resample))}, got {resample!r}")
        if resample is not None and (freq is None or steps_per_day is not None or not self.has_clock):
            raise InputError(
                f"expected freq=... beside resample={resample!r}, and data that have their own times: pass the step to "
                "bring them to, such as '1h'"
            )
        options = {
            "resample": resample,
            "null_value": null_value,
            "start": start,
            "freq": freq,
            "steps_per_day": steps_per_day,
            "series": series,
            "channels": channels,
            "name": name,
        }
        merged = replace(self, **{option: value for option, value in options.items() if value is not None})
        if merged.freq is not None:
            merged = replace(merged, freq=step_name(merged.freq, merged.times if merged.has_clock else merged.start))
        if merged.start is None and not merged.has_clock and (freq is not None or steps_per_day is not None):
            raise InputError(
                f"expected start=... beside freq={freq!r} and steps_per_day={steps_per_day}, since the data have no "
                "times: pass the time of the first step, or none of the three"
            )
        return merged

    @property
    def pieces(self) -> Pieces:
        """Values piece by piece."""
        return self.values if isinstance(self.values, Pieces) else Pieces.of(self.values)

    def to_panel(self, allocate: Allocate | None = None, progress: Progress | None = None) -> Panel:
        """Put the recording on its regular time grid. Steps that were left out become missing values.

        Args:
            allocate: Returns arrays of a shape for values (all NaN, float32 or float64) and mask (all False); in memory
                by default.
            progress: Called with the number of values that are read, and of all.

        Raises:
            InputError: Times repeat, go back or lie on no grid, or the data do not make a panel.
        """
        pieces = self.pieces
        n_rows = pieces.shape[0]
        timestamps, places, freq, notes = self._grid()
        shape = (n_rows if timestamps is None else len(timestamps), *pieces.shape[1:])
        fields = panel_fields(
            shape,
            start=self.start,
            freq=freq,
            timestamps=timestamps if self.start is None else None,
            series=self.series,
            channels=self.channels,
            locations=self.locations,
            steps_per_day=self.steps_per_day if freq is not None else None,
            name=self.name,
        )
        check_dense(shape, pieces.n_recorded)
        allocate = allocate or _allocate
        values, mask = allocate(shape, np.float32)
        null_value = self.form.null_value if self.null_value is None else self.null_value
        form = replace(self.form, null_value=null_value)
        panel = Panel(values=values, mask=mask, **fields, form=form, notes=(*self.notes, *notes), checked=True)
        if places is not None and (self.resample is not None or len(np.unique(places)) < n_rows):
            pieces, places = combined(pieces, places, shape[0], self.resample or "mean", self.null_value), None
        options: dict[str, Any] = {"places": None if shape[0] == n_rows else places, "null_value": self.null_value}
        if fill_arrays(values, mask, pieces, **options, progress=progress) is np.float64:
            _check_readable_twice(pieces)
            del values, mask
            values, mask = allocate(shape, np.float64)
            panel = replace(panel, values=values, mask=mask, checked=True)
            fill_arrays(values, mask, pieces, **options, progress=progress)
        panel = panel if self.complete is None else self.complete(panel)
        check_values(panel)
        check_neighbours(panel)
        return panel

    def _grid(self) -> tuple[np.ndarray | None, np.ndarray | None, str | None, tuple[str, ...]]:
        """Return the time grid, the place of every recorded time on it, its step, and what was guessed."""
        freq = self.freq if self.start is not None or self.has_clock else None
        if self.times is None:
            return None, None, freq, ()
        if self.resample is not None and freq is not None:
            grid, places = bins(self._clock(), freq)
            return grid, places, freq, (f"{self.resample} of the values of every step",)
        check_increasing(self.times)
        clock, of_row = np.unique(self._clock(), return_inverse=True)
        notes = [] if self.zone is None else [f"times are read by the clock of {self.zone}"]
        if len(clock) < len(self.times):
            notes.append("an hour that occurs twice is the mean of both")
        if self.has_clock and freq is None:
            freq = infer_freq(clock)
            notes.append(f"a step is {freq}")
        grid, places = fill_grid(clock, freq if self.has_clock else None, self.steps_per_day)
        return grid, places[of_row], freq, tuple(notes)

    def _clock(self) -> np.ndarray:
        """Return the times by the clock of their zone. Where it is set back, times repeat."""
        return wall_clock(np.asarray(self.times), self.zone)


def _check_readable_twice(pieces: Pieces) -> None:
    if pieces.once:
        raise InputError(
            "expected blocks of numbers that float32 holds, got large whole numbers, or small swings at a large level: "
            "pass the blocks as a list instead of an iterator, so that they can be read once more"
        )


def _allocate(shape: tuple[int, int, int], dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    try:
        return np.full(shape, np.nan, dtype), np.zeros(shape, bool)
    except MemoryError as error:
        size = (np.dtype(dtype).itemsize + 1) * math.prod(shape) / 2**30
        raise InputError(
            f"expected memory for {shape[0]:,} steps of {shape[1]:,} series and {shape[2]} channels, {size:.1f} GiB, "
            "got none: `elinformer convert` writes them to disk instead"
        ) from error
