"""Panel: many series on one time grid, with a mask of the observed values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import InitVar, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._arguments import explain_arguments
from elinformer.data.covariates import Covariates, names_of
from elinformer.data.form import PLAIN, Form
from elinformer.data.frequencies import in_words
from elinformer.data.pieces import panel_shape, row_blocks, values_and_mask
from elinformer.data.precision import PrecisionSample
from elinformer.data.steps import is_step_number, step_name
from elinformer.data.time_grid import (
    DAY,
    check_grid,
    check_increasing,
    continue_grid,
    make_grid,
    nanoseconds,
    step_length,
    step_numbers,
)
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elinformer.data.steps import Freq

ALL = slice(None)
FLOATS = (np.float32, np.float64)
UNNAMED = "value"
"""Name of a channel that the data give no name."""
MIN_OBSERVED = 4
"""Observed values from which on a step is judged."""


@dataclass(frozen=True, eq=False)
class Panel:
    """N series of C channels over T steps of one regular time grid.

    Make one with `Panel.from_arrays`, `read_panel` or `load_dataset`. Each of them checks the data.

    Attributes:
        values: (T, N, C) float32 in the units of the data, NaN where a value is missing; float64 if float32 cannot hold
            them: large whole numbers, and small swings at a large level.
        mask: (T, N, C) bool, True = observed.
        timestamps: (T,) datetime64[ns], or int64 step numbers if the time is unknown.
        freq: Step as pandas writes it ("5min", "1h"), None with step numbers.
        series: N distinct names.
        channels: C distinct names.
        locations: (N, 2) latitude and longitude in degrees, or None.
        steps_per_day: Steps of a day if only a part of it is recorded (service hours), else None.
        name: Name of the panel in messages and reports.
        form: Form in which the data came, so that forecasts come back alike.
        past: Blocks of covariates (T, N, P) that are known up to the present; see `Covariates` and docs/covariates.md.
        future: Blocks of covariates (T', N, F) that are known in advance. They may have more steps than the values.
        static: Features (N, G) of the series, or None.
        notes: What was guessed about the file or the frame when it was read, in words.
        checked: Skip the check of the values, which reads all of them. Values on disk were checked when they were
            written.

    Raises:
        InputError: The arrays, names and times do not make a panel.
    """

    values: np.ndarray
    mask: np.ndarray
    timestamps: np.ndarray
    freq: str | None
    series: tuple[str, ...]
    channels: tuple[str, ...]
    locations: np.ndarray | None = None
    steps_per_day: int | None = None
    name: str = "panel"
    form: Form = PLAIN
    past: tuple[Covariates, ...] = ()
    future: tuple[Covariates, ...] = ()
    static: Covariates | None = None
    notes: tuple[str, ...] = ()
    checked: InitVar[bool] = False

    def __post_init__(self, checked: bool) -> None:
        _check_shapes(self)
        _check_covariates(self)
        _check_names("series", self.series, self.values.shape[1])
        _check_names("channels", self.channels, self.values.shape[2])
        _check_names("panels", (self.name,), 1)
        _check_time(self)
        if not checked:
            check_values(self)

    @classmethod
    @explain_arguments
    def from_arrays(
        cls,
        values: np.ndarray,
        *,
        mask: np.ndarray | None = None,
        start: str | np.datetime64 | None = None,
        freq: Freq | None = None,
        timestamps: np.ndarray | None = None,
        series: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        locations: np.ndarray | None = None,
        steps_per_day: int | None = None,
        null_value: float | None = None,
        name: str = "panel",
        past: Mapping[str, Any] | None = None,
        future: Mapping[str, Any] | None = None,
        static: Mapping[str, Any] | None = None,
    ) -> Panel:
        """Build a panel from an array, with the time grid from `start` and `freq` or from `timestamps`.

        Args:
            values: (T, N) or (T, N, C) numbers; NaN is missing.
            mask: Array of the shape of `values`, True = observed; other values become NaN.
            start: Time of the first step. Without `start` and `timestamps`, the panel has step numbers.
            freq: Step, as pandas, polars or the Nixtla libraries write it; needed with `start` and with `timestamps`.
            timestamps: (T,) datetime64 or integer step numbers.
            series: N names; "0", "1", ... by default.
            channels: C names; "value" for one channel, "0", "1", ... for more.
            locations: (N, 2) latitude and longitude in degrees.
            steps_per_day: Steps of a day if only a part of it is recorded.
            null_value: Number that stands for missing, such as 0.0 in traffic data.
            name: Name of the panel.
            past: Covariates that are known up to the present, by name: numbers (T,) that all series share, or (T, N);
                NaN is missing.
            future: Covariates that are known in advance, by name: numbers (T',) or (T', N), with T' >= T. Steps after
                the last value are those of a forecast.
            static: Features of the series, by name: numbers (N,), or texts (N,), which are categories.

        Raises:
            InputError: The arguments do not make a panel.
        """
        array = _as_array(values, "values")
        shape = panel_shape(array.dtype, array.shape)
        fields = panel_fields(
            shape,
            start=start,
            freq=freq,
            timestamps=timestamps,
            series=series,
            channels=channels,
            locations=locations,
            steps_per_day=steps_per_day,
            name=name,
        )
        copied, observed = _copy_in_blocks(array.reshape(shape), _as_mask(mask, shape), null_value)
        over_time = (
            tuple(Covariates.over_time(name, numbers, shape[1]) for name, numbers in (given or {}).items())
            for given in (past, future)
        )
        features = Covariates.of_series(static, shape[1]) if static else None
        blocks = dict(zip(("past", "future"), over_time, strict=True))
        return cls(values=copied, mask=observed, **fields, **blocks, static=features)

    @property
    def n_steps(self) -> int:
        """Number of time steps, T."""
        return self.values.shape[0]

    @property
    def n_series(self) -> int:
        """Number of series, N."""
        return self.values.shape[1]

    @property
    def n_channels(self) -> int:
        """Number of channels, C."""
        return self.values.shape[2]

    @property
    def has_time(self) -> bool:
        """True if the time of every step is known, False if only its number is."""
        return self.freq is not None

    @property
    def steps_of_day(self) -> int | None:
        """Recorded steps of a day, or None if the time is unknown or a day is no whole number of steps."""
        if self.steps_per_day is not None or self.freq is None:
            return self.steps_per_day
        step = step_length(self.freq)
        return None if step is None or step > DAY or DAY % step else DAY // step

    @property
    def observed_share(self) -> float:
        """Share of the values that are observed, 0 to 1."""
        return np.count_nonzero(self.mask) / self.mask.size

    def future_timestamps(self, n_steps: int) -> np.ndarray:
        """Return the (n_steps,) time stamps that follow the last one."""
        return continue_grid(self.timestamps, n_steps, self.freq, self.steps_per_day)

    def last_steps(self, n_steps: int) -> Panel:
        """Return the last `n_steps` steps without a copy.

        With `steps_per_day`, the result begins with the first recorded hour of a day and may be a little longer.
        """
        start = max(0, self.n_steps - n_steps)
        start -= start % (self.steps_per_day or 1)
        return self.select(steps=slice(start, None))

    def select(self, series: Sequence[int] | np.ndarray | slice = ALL, steps: slice = ALL) -> Panel:
        """Return some series and steps, without a copy if both are slices. All later future covariates stay known.

        Args:
            series: Numbers of the series in the order wanted, or a mask (N,).
            steps: Slice of the steps; with `steps_per_day`, it has to begin with the first recorded hour of a day.

        Raises:
            InputError: The series are given by something else than their numbers.
        """
        if not isinstance(series, slice) and (kind := np.asarray(series)).size and kind.dtype.kind not in "iub":
            raise InputError(f"expected numbers of series, got {series!r}: panel.series.index(name) is that of a name")
        arrays = {name: getattr(self, name)[steps, series] for name in ("values", "mask")}
        start, stop, _ = steps.indices(self.n_steps)
        past = (block.from_step(start, stop).select_series(series) for block in self.past)
        future = (block.from_step(start).select_series(series) for block in self.future)
        return replace(
            self,
            **arrays,
            past=tuple(past),
            future=tuple(future),
            static=None if self.static is None else self.static.select_series(series),
            timestamps=self.timestamps[steps],
            series=tuple(self.series[i] for i in np.arange(self.n_series)[series]),
            locations=None if self.locations is None else self.locations[series],
            checked=True,
        )

    def __repr__(self) -> str:
        ends = (np.datetime_as_string(time, unit="m") for time in self.timestamps[[0, -1]]) if self.has_time else ()
        span = " to ".join(ends) or "steps without a time"
        return (
            f"Panel({self.name}: {self.n_steps} steps x {self.n_series} series x {self.n_channels} channels, "
            f"{in_words(self.freq or 'no frequency')}, {span}, {self.observed_share:.1%} observed)"
        )


def panel_fields(
    shape: tuple[int, int, int],
    *,
    start: str | np.datetime64 | None,
    freq: Freq | None,
    timestamps: np.ndarray | None,
    series: Sequence[str] | None,
    channels: Sequence[str] | None,
    locations: np.ndarray | None,
    steps_per_day: int | None,
    name: str,
) -> dict[str, Any]:
    """Return the fields of a panel of `shape` apart from values and mask; arguments as in `Panel.from_arrays`.

    Raises:
        InputError: The arguments contradict each other.
    """
    n_steps, n_series, n_channels = shape
    if start is None and is_step_number(freq) and (timestamps is None or timestamps.dtype.kind in "iu"):
        freq = None
    freq = None if freq is None else step_name(freq, timestamps if start is None else start)
    if start is not None and timestamps is not None:
        raise InputError("expected start or timestamps, got both: pass one of them")
    if start is not None and freq is None:
        raise InputError(f"expected freq=... (such as '5min') beside start={str(start)!r}, got none")
    if start is None and timestamps is None and (freq is not None or steps_per_day is not None):
        raise InputError(f"expected start=... or timestamps beside freq={freq!r}, got neither: time is unknown")
    if start is not None and freq is not None:
        timestamps = make_grid(start, n_steps, freq, steps_per_day)
    if timestamps is None:
        freq = steps_per_day = None
    return {
        "timestamps": _as_timestamps(np.arange(n_steps) if timestamps is None else timestamps),
        "freq": freq,
        "series": _names(series, n_series),
        "channels": _names(channels, n_channels) if channels is not None or n_channels > 1 else (UNNAMED,),
        "locations": None if locations is None else _as_array(locations, "locations", np.float64),
        "steps_per_day": steps_per_day,
        "name": name,
    }


def _as_array(given: Any, name: str, dtype: type | None = None) -> np.ndarray:
    try:
        return np.asarray(given, dtype)
    except (ValueError, TypeError) as error:
        raise InputError(f"expected {name} as an array of numbers, got something else: {error}") from error


def _as_mask(mask: np.ndarray | None, shape: tuple[int, int, int]) -> np.ndarray:
    if mask is None:
        return np.broadcast_to(True, shape)
    array = np.asarray(mask)
    if array.dtype != bool:
        raise InputError(f"expected a bool mask (True = observed), got {array.dtype}: compare it with a number first")
    if array.ndim == 2:
        array = array[..., None]
    if array.shape != shape:
        raise InputError(f"expected a mask of the shape of the values {shape}, got {np.shape(mask)}: reshape it")
    return array


def _copy_in_blocks(array: np.ndarray, mask: np.ndarray, null_value: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return copies of values and mask, made block by block so that no third array of this size is needed."""
    dtype = PrecisionSample.of(array, mask, null_value).dtype
    values, observed = np.empty(array.shape, dtype), np.empty(array.shape, bool)
    for rows in row_blocks(array.shape):
        values[rows], observed[rows] = values_and_mask(array[rows], null_value, mask[rows], dtype)
    return values, observed


def _as_timestamps(timestamps: np.ndarray) -> np.ndarray:
    array = np.asarray(timestamps)
    if array.dtype.kind == "M":
        return nanoseconds(array)
    if array.dtype.kind in "iu":
        return step_numbers(array)
    raise InputError(f"expected time stamps of datetime64 or integer step numbers, got {array.dtype}")


def _names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    return tuple(str(name) for name in (range(count) if names is None else names))


def _check_shapes(panel: Panel) -> None:
    shape = panel.values.shape
    if len(shape) != 3 or not any(panel.values.dtype == kind for kind in FLOATS):
        raise InputError(f"expected float32 or float64 values of shape (T, N, C), got {panel.values.dtype} of {shape}")
    if 0 in shape:
        raise InputError(f"expected at least one step, series and channel, got values of shape {shape}")
    if panel.mask.shape != shape or panel.mask.dtype != bool:
        raise InputError(f"expected a bool mask of shape {shape}, got {panel.mask.dtype} of {panel.mask.shape}")
    if panel.locations is not None and panel.locations.shape != (shape[1], 2):
        raise InputError(
            f"expected locations of shape ({shape[1]}, 2) = (series, latitude and longitude), "
            f"got {panel.locations.shape}"
        )


def _check_covariates(panel: Panel) -> None:
    n_steps, n_series, _ = panel.values.shape
    for role, blocks in (("past", panel.past), ("future", panel.future)):
        for block in blocks:
            shape = block.values.shape
            enough = len(shape) == 3 and (shape[0] == n_steps or (role == "future" and shape[0] > n_steps))
            if not enough or shape[1] not in {1, n_series} or block.values.dtype != np.float32:
                raise InputError(
                    f"expected {role} covariates {', '.join(block.names)} as float32 of {n_steps} steps, of one or all "
                    f"{n_series} series, got {block.values.dtype} of {shape}"
                )
    static = () if panel.static is None else panel.static.names
    if panel.static is not None and panel.static.values.shape != (n_series, len(static)):
        raise InputError(f"expected static covariates of {n_series} series, got {panel.static.values.shape}")
    names = (*names_of(panel.past), *names_of(panel.future), *static)
    _check_names("covariates", names, len(names))


def _check_names(kind: str, names: tuple[str, ...], count: int) -> None:
    if len(names) != count:
        raise InputError(f"expected {count} names of {kind}, got {len(names)}: give one for each")
    if len(set(names)) != count:
        repeated = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"expected distinct names of {kind}, got {repeated!r} more than once: rename one of them")
    try:
        "".join(map(str, names)).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"expected names of {kind} that UTF-8 can hold, got others: rename them ({error})") from error


def _check_time(panel: Panel) -> None:
    timestamps = panel.timestamps
    if timestamps.shape != panel.values.shape[:1]:
        raise InputError(f"expected {panel.values.shape[0]} time stamps, got an array of shape {timestamps.shape}")
    if timestamps.dtype.kind == "M":
        nanoseconds(timestamps)
    check_increasing(timestamps)
    if (panel.freq is None) != (timestamps.dtype.kind != "M"):
        raise InputError(
            f"expected freq with time stamps and none with step numbers, got freq={panel.freq!r} with "
            f"{timestamps.dtype}"
        )
    if panel.freq is not None:
        check_grid(timestamps, panel.freq, panel.steps_per_day)


def check_values(panel: Panel) -> None:
    """Check that some value is observed, and that all observed values are finite.

    Raises:
        InputError: They are not.
    """
    if not panel.mask.any():
        raise InputError(
            f"expected at least one observed value, but all {panel.values.size} values are missing: "
            "check null_value and the columns that were read"
        )
    for rows in row_blocks(panel.values.shape):
        bad = ~np.isfinite(panel.values[rows]) & panel.mask[rows]
        if bad.any():
            step, series, channel = (int(i) for i in np.argwhere(bad)[0])
            raise InputError(
                f"expected finite values where mask is True, got {panel.values[rows][step, series, channel]} at step "
                f"{rows.start + step}, series {panel.series[series]!r}, channel {panel.channels[channel]!r}: mark such "
                "values as missing (NaN)"
            )
    _check_finite_covariates(panel)


def _check_finite_covariates(panel: Panel) -> None:
    for block in (*panel.past, *panel.future):
        for rows in row_blocks(block.values.shape):
            bad = np.isinf(block.values[rows])
            if bad.any():
                step, _, covariate = (int(i) for i in np.argwhere(bad)[0])
                raise InputError(
                    f"expected finite covariates, got an infinite {block.names[covariate]!r} at step "
                    f"{rows.start + step}: mark such values as missing (NaN)"
                )
    if panel.static is not None and not np.isfinite(panel.static.values).all():
        series, covariate = (int(i) for i in np.argwhere(~np.isfinite(panel.static.values))[0])
        raise InputError(
            f"expected the static covariate {panel.static.names[covariate]!r} of every series, but it is missing for "
            f"{panel.series[series]!r}: fill it in, or drop the column"
        )


def check_neighbours(panel: Panel) -> None:
    """Check that the step of a panel is not a fraction of the step of its data, which would leave gaps alone.

    Raises:
        InputError: No series has two observed values at neighbouring steps, though one has several.
    """
    if 2 * np.count_nonzero(panel.mask) > panel.mask.size + panel.n_series * panel.n_channels:
        return
    for rows in row_blocks(panel.mask.shape):
        block = panel.mask[max(0, rows.start - 1) : rows.stop]
        if (block[1:] & block[:-1]).any():
            return
    counts = np.add.reduce(panel.mask.any(2), axis=0, dtype=np.int64)
    seen = np.flatnonzero(panel.mask[:, counts.argmax()].any(1))
    if len(seen) < MIN_OBSERVED:
        return
    distances, times = np.unique(np.diff(seen), return_counts=True)
    apart = f"{distances[times.argmax()]} steps apart"
    if panel.has_time:
        apart = f"{_duration(np.diff(panel.timestamps[seen[:2]])[0])} apart"
    raise InputError(
        f"expected values at neighbouring steps of {in_words(panel.freq or 'one')}, but no series has any: series "
        f"{panel.series[counts.argmax()]!r} has values that are {apart}; pass freq=... as the data were recorded, or "
        "bring them to one step"
    )


def _duration(length: np.timedelta64) -> str:
    """Return a length of time in days, hours and minutes."""
    minutes = int(length // np.timedelta64(60, "s"))
    parts = ((minutes // 1440, "days"), (minutes // 60 % 24, "hours"), (minutes % 60, "minutes"))
    return " ".join(f"{count} {unit if count > 1 else unit[:-1]}" for count, unit in parts if count) or str(length)


def fingerprint(panel: Panel) -> str:
    """Return the SHA-256 of the values, times, names, locations and covariates of a panel, as "sha256:...".

    It is the same in memory and on disk. The name of the panel and the content of `values` where the mask is False do
    not count. Every value is read once, block by block: about a second a gigabyte.
    """
    digest = hashlib.sha256(_header(panel))
    digest.update(np.ascontiguousarray(panel.timestamps.astype(np.int64, copy=False), "<i8").data)
    if panel.locations is not None:
        digest.update(np.ascontiguousarray(panel.locations, "<f8").data)
    for rows in row_blocks(panel.values.shape):
        block = np.where(panel.mask[rows], panel.values[rows], panel.values.dtype.type(np.nan))
        digest.update(np.ascontiguousarray(block, panel.values.dtype.newbyteorder("<")).data)
    for covariates in covariate_blocks(panel):
        for rows in row_blocks(covariates.shape):
            digest.update(np.ascontiguousarray(covariates[rows], "<f4").data)
    return f"sha256:{digest.hexdigest()}"


def covariate_blocks(panel: Panel) -> list[np.ndarray]:
    """Return the arrays of all covariates of a panel: past, future, static."""
    static = () if panel.static is None else (panel.static,)
    return [block.values for block in (*panel.past, *panel.future, *static)]


def _header(panel: Panel) -> bytes:
    fields = {name: getattr(panel, name) for name in ("freq", "steps_per_day", "series", "channels")}
    fields |= {"shape": panel.values.shape, "located": panel.locations is not None}
    if arrays := covariate_blocks(panel):
        names = {"past": names_of(panel.past), "future": names_of(panel.future)}
        static = None if panel.static is None else panel.static.names
        fields["covariates"] = {**names, "static": static, "shapes": [array.shape for array in arrays]}
    return json.dumps(fields).encode()


def data_description(panel: Panel) -> dict[str, Any]:
    """Return the name, the fingerprint, and the first and the last time of a panel, by which a run knows its data."""
    first, last = (str(time) if panel.has_time else int(time) for time in panel.timestamps[[0, -1]])
    return {"name": panel.name, "fingerprint": fingerprint(panel), "first": first, "last": last}


def time_from(recorded: Any, panel: Panel) -> Any:
    """Return a time of `data_description` as the time stamps of a panel are, datetime64 or a step number."""
    return np.datetime64(recorded) if panel.has_time else recorded
