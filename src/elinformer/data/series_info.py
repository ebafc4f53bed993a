"""SeriesInfo: names, time and calendar of the panel that a model was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._arguments import check_fields
from elinformer.data.calendar import Calendar
from elinformer.data.covariates import LEVEL, CovariateInfo, Covariates, Scales, names_of, select_blocks
from elinformer.data.form import PLAIN, Form
from elinformer.data.panel import UNNAMED
from elinformer.data.public_holidays import names_of_features
from elinformer.data.steps import same_step
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler


@dataclass(frozen=True)
class SeriesInfo:
    """Names, time and calendar of the panel a model was trained on.

    Attributes:
        name: Name of the panel.
        series: N names.
        channels: C names.
        freq: Step as pandas writes it, None for step numbers.
        steps_per_day: Steps of a day if only a part of it is recorded.
        calendar: Slots of the day and of the year, and weekdays, of training; None for step numbers.
        form: How the data of training came.
        covariates: Names and scales of covariates, and the static ones of every series.
    """

    name: str
    series: tuple[str, ...]
    channels: tuple[str, ...]
    freq: str | None
    steps_per_day: int | None
    calendar: Calendar | None
    form: Form = PLAIN
    covariates: CovariateInfo = field(default_factory=CovariateInfo)

    @classmethod
    def of(cls, panel: Panel, steps: np.ndarray, holidays: tuple[str, ...] = ()) -> SeriesInfo:
        """Return the information on `panel` if training forecasts from the steps `steps` (n,).

        Args:
            panel: The data of training.
            steps: Steps that training forecasts from.
            holidays: Regions whose holidays are future covariates.

        Raises:
            InputError: There are regions, and the times of the panel are unknown.
        """
        if holidays and panel.freq is None:
            raise InputError(
                f"expected times for the holidays of {', '.join(holidays)}, but {panel.name} has step numbers: pass "
                "start=... and freq=..., or leave the holidays out"
            )
        calendar = None if panel.freq is None else Calendar.fit(panel.timestamps[steps], panel.freq, holidays)
        covariates = _covariates_of(panel, int(steps.max()) + 1)
        time = panel.freq, panel.steps_per_day, calendar
        return cls(panel.name, panel.series, panel.channels, *time, panel.form, covariates)

    @property
    def n_slots(self) -> int:
        """Number of slots of a day, 0 without a calendar."""
        return 0 if self.calendar is None else self.calendar.n_slots

    @property
    def n_seasons(self) -> int:
        """Number of slots of a year, 0 if the calendar has none."""
        return 0 if self.calendar is None else self.calendar.n_seasons

    @property
    def n_covariates(self) -> dict[str, int]:
        """Numbers of covariates, as in `elinformer.models.Sizes`; holidays are future covariates."""
        names = {role: getattr(self.covariates, role).names for role in ("past", "future", "static")}
        names["future"] += self.holidays
        return {f"n_{role}": len(found) for role, found in names.items()}

    @property
    def holidays(self) -> tuple[str, ...]:
        """Names of the covariates that the holidays make, which follow the other future covariates."""
        return () if self.calendar is None else names_of_features(self.calendar.holidays)

    @property
    def moments(self) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
        """Mean and standard deviation of the covariates by their field in `Batch`. Holidays keep their numbers."""
        found, n = self.covariates.moments, len(self.holidays)
        if not n:
            return found
        mean, std = found.get("future", ((), ()))
        return {**found, "future": (mean + (0.0,) * n, std + (1.0,) * n)}

    def to_document(self) -> dict[str, Any]:
        """Return the information as a document for JSON."""
        return {**asdict(self), "form": self.form.to_document()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SeriesInfo:
        """Return the information that `to_document` wrote.

        Raises:
            KeyError: A field is missing.
            TypeError: A field has another type.
        """
        calendar = None if document["calendar"] is None else _calendar_from(document["calendar"])
        found = cls(
            name=document["name"],
            series=_texts(document["series"]),
            channels=_texts(document["channels"]),
            freq=document["freq"],
            steps_per_day=document["steps_per_day"],
            calendar=calendar,
            form=Form.from_document(document.get("form")),
            covariates=CovariateInfo.from_document(document.get("covariates")),
        )
        return check_fields(found)

    def align(self, panel: Panel) -> Panel:
        """Return the panel with the series and covariates of training, in their order.

        Series that the panel lacks are missing values. Static covariates that it lacks are those of training.

        Raises:
            InputError: The panel has other channels or covariates, another step, or series that training did not have.
        """
        self._check(panel)
        if panel.channels != self.channels:  # one channel, that has a name in long tables alone
            panel = replace(panel, channels=self.channels, checked=True)
        place = {name: i for i, name in enumerate(self.series)}
        places = np.array([place[name] for name in panel.series])
        covariates = self._covariates_of(panel, places)
        if panel.series == self.series:
            same = all(getattr(panel, role) is found for role, found in covariates.items())
            return panel if same else replace(panel, **covariates, checked=True)
        values, mask = (self._spread(panel.values, places), self._spread(panel.mask, places, missing=False))
        return replace(panel, values=values, mask=mask, series=self.series, locations=None, **covariates, checked=True)

    def _spread(self, array: np.ndarray, places: np.ndarray, *, missing: float = np.nan) -> np.ndarray:
        """Return an array (T, n, F) of some series as one (T, N, F) of all series."""
        spread = np.full((len(array), len(self.series), *array.shape[2:]), missing, array.dtype)
        spread[:, places] = array
        return spread

    def _covariates_of(self, panel: Panel, places: np.ndarray) -> dict[str, Any]:
        """Return the covariates of a panel in the order of training, with those of the series that it lacks."""
        own = {"past": panel.past, "future": panel.future, "static": () if panel.static is None else (panel.static,)}
        for role, blocks in own.items():
            _check_names_of_covariates(role, names_of(blocks), getattr(self.covariates, role).names)
        found: dict[str, Any] = {}
        for role in ("past", "future"):
            blocks = select_blocks(own[role], getattr(self.covariates, role).names)
            if panel.series != self.series:
                blocks = tuple(
                    block if block.values.shape[1] == 1 else Covariates(block.names, self._spread(block.values, places))
                    for block in blocks
                )
            found[role] = blocks
        return {**found, "static": self._static_of(panel, places)}

    def _static_of(self, panel: Panel, places: np.ndarray) -> Covariates | None:
        names = self.covariates.static.names
        if not names:
            return None
        if panel.static is not None and panel.static.names == names and panel.series == self.series:
            return panel.static
        values = np.array(self.covariates.static_values, np.float32)
        if panel.static is not None:
            own = {name: panel.static.values[:, i] for i, name in enumerate(panel.static.names)}
            values[places] = np.stack([own.get(name, np.zeros(len(places), np.float32)) for name in names], -1)
        return Covariates(names, values)

    def unknown_categories(self, panel: Panel) -> tuple[str, ...]:
        """Return the levels of static covariates of a panel that training never saw, as "kind=school"."""
        names = () if panel.static is None else panel.static.names
        return tuple(name for name in names if LEVEL in name and name not in self.covariates.static.names)

    def new_series(self, panel: Panel) -> tuple[str, ...]:
        """Return the series of a panel that training did not have, in the order of the panel.

        Raises:
            InputError: The panel has other channels, or another step.
        """
        self._check_kind(panel)
        known = set(self.series)
        return tuple(name for name in panel.series if name not in known)

    def with_series(self, new: tuple[str, ...], panel: Panel) -> SeriesInfo:
        """Return the information with the series `new` of a panel appended.

        Raises:
            InputError: Training had static covariates, and the panel has none.
        """
        names = self.covariates.static.names
        if not names:
            return replace(self, series=self.series + new)
        if panel.static is None:
            raise InputError(
                f"expected static covariates of the new series, {', '.join(names)}, as in training, but {new[0]!r} has "
                "none: pass them as features=... or in the panel"
            )
        rows = self.covariates.static_values + ((0.0,) * len(names),) * len(new)
        unknown = replace(self, series=self.series + new, covariates=replace(self.covariates, static_values=rows))
        static = unknown.align(panel).static
        values = () if static is None else tuple(tuple(row) for row in static.values.tolist())
        return replace(unknown, covariates=replace(self.covariates, static_values=values))

    def check_scaler(self, scaler: Scaler) -> None:
        """Check that a scaler belongs to these series.

        Raises:
            InputError: Its shape is not (N, C).
        """
        shape = (len(self.series), len(self.channels))
        if scaler.mean.shape != shape or scaler.std.shape != shape:
            raise InputError(f"expected a scaler of shape {shape}, got {scaler.mean.shape} and {scaler.std.shape}")

    def _check(self, panel: Panel) -> None:
        if new := self.new_series(panel):
            raise InputError(
                f"expected series of training, got {len(new)} others, such as {new[0]!r}: leave them out, or "
                "add them with add_series or `elinformer add-series`"
            )

    def _check_kind(self, panel: Panel) -> None:
        same_time = same_step(panel.freq, self.freq) and panel.steps_per_day == self.steps_per_day
        is_one = len(panel.channels) == len(self.channels) == 1 and UNNAMED in {*panel.channels, *self.channels}
        if (panel.channels != self.channels and not is_one) or not same_time:
            raise InputError(
                f"expected channels {', '.join(self.channels)} at {_step(self.freq, self.steps_per_day)} as in "
                f"training, got {', '.join(panel.channels)} at {_step(panel.freq, panel.steps_per_day)}"
            )
        if panel.form.zone != self.form.zone and panel.form.zone and self.form.zone:
            raise InputError(
                f"expected times of the zone {self.form.zone} as in training, got {panel.form.zone}: convert them first"
            )


def _covariates_of(panel: Panel, train_end: int) -> CovariateInfo:
    """Return names and scales of the covariates of a panel, measured before the step `train_end`."""
    past, future = (
        Scales.of(block.from_step(0, train_end) for block in blocks) for blocks in (panel.past, panel.future)
    )
    if panel.static is None:
        return CovariateInfo(past, future)
    static_values = tuple(tuple(row) for row in panel.static.values.tolist())
    return CovariateInfo(past, future, Scales.of([panel.static]), static_values)


def _check_names_of_covariates(role: str, names: Sequence[str], trained: Sequence[str]) -> None:
    """Check that the covariates are those of training. Levels of categories may differ, and static ones may be absent.

    Raises:
        InputError: They are not.
    """
    if role == "static":
        if not names:
            return
        names, trained = ([*dict.fromkeys(name.partition(LEVEL)[0] for name in many)] for many in (names, trained))
    missing, extra = [x for x in trained if x not in names], [x for x in names if x not in trained]
    if missing:
        raise InputError(
            f"expected the {role} covariates of training, {', '.join(trained)}, got none called "
            f"{' or '.join(missing)}: add {'these columns' if len(missing) > 1 else 'this column'} to the data"
        )
    if extra:
        raise InputError(
            f"expected the {role} covariates of training, {', '.join(trained) or 'none'}, got {', '.join(extra)} too: "
            "leave them out, or train again with them"
        )


def _step(freq: str | None, steps_per_day: int | None) -> str:
    if freq is None:
        return "steps of no known time"
    return f"a step of {freq}" if steps_per_day is None else f"a step of {freq}, {steps_per_day} a day"


def _calendar_from(document: Mapping[str, Any]) -> Calendar:
    names = ("known_slots", "known_days", "known_seasons")
    known: dict[str, Any] = {name: tuple(int(number) for number in document[name]) for name in names}
    known |= {"n_seasons": document["n_seasons"], "holidays": tuple(document["holidays"])}
    return check_fields(Calendar(document["freq"], document["n_slots"], **known))


def _texts(names: list[Any]) -> tuple[str, ...]:
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"expected names as texts, got {wrong[0]!r}")
    return tuple(names)
