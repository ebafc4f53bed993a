"""SeriesInfo: names, time and calendar of the panel that a model was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.data.calendar import Calendar
from elinformer.data.form import PLAIN, Form
from elinformer.data.panel import UNNAMED
from elinformer.data.steps import same_step
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        calendar: Slots and weekdays of training, None for step numbers.
        form: How the data of training came.
    """

    name: str
    series: tuple[str, ...]
    channels: tuple[str, ...]
    freq: str | None
    steps_per_day: int | None
    calendar: Calendar | None
    form: Form = PLAIN

    @classmethod
    def of(cls, panel: Panel, steps: np.ndarray) -> SeriesInfo:
        """Return the information on `panel` if training forecasts from the steps `steps` (n,)."""
        calendar = None if panel.freq is None else Calendar.fit(panel.timestamps[steps], panel.freq)
        return cls(panel.name, panel.series, panel.channels, panel.freq, panel.steps_per_day, calendar, panel.form)

    @property
    def n_slots(self) -> int:
        """Number of slots of a day, 0 without a calendar."""
        return 0 if self.calendar is None else self.calendar.n_slots

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
        calendar = document["calendar"]
        if calendar is not None:
            known = {name: tuple(calendar[name]) for name in ("known_slots", "known_days")}
            calendar = Calendar(calendar["freq"], calendar["n_slots"], **known)
        return cls(
            name=document["name"],
            series=tuple(document["series"]),
            channels=tuple(document["channels"]),
            freq=document["freq"],
            steps_per_day=document["steps_per_day"],
            calendar=calendar,
            form=Form.from_document(document.get("form")),
        )

    def align(self, panel: Panel) -> Panel:
        """Return the panel with the series of training, in their order; series that it lacks are missing values.

        Raises:
            InputError: The panel has other channels, another step, or series that training did not have.
        """
        self._check(panel)
        if panel.channels != self.channels:  # one channel, that has a name in long tables alone
            panel = replace(panel, channels=self.channels, checked=True)
        if panel.series == self.series:
            return panel
        place = {name: i for i, name in enumerate(self.series)}
        shape = (panel.n_steps, len(self.series), panel.n_channels)
        values, mask = np.full(shape, np.nan, panel.values.dtype), np.zeros(shape, bool)
        places = [place[name] for name in panel.series]
        values[:, places], mask[:, places] = panel.values, panel.mask
        return replace(panel, values=values, mask=mask, series=self.series, locations=None, checked=True)

    def new_series(self, panel: Panel) -> tuple[str, ...]:
        """Return the series of a panel that training did not have, in the order of the panel.

        Raises:
            InputError: The panel has other channels, or another step.
        """
        self._check_kind(panel)
        known = set(self.series)
        return tuple(name for name in panel.series if name not in known)

    def with_series(self, new: tuple[str, ...]) -> SeriesInfo:
        """Return the information with the series `new` appended."""
        return replace(self, series=self.series + new)

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


def _step(freq: str | None, steps_per_day: int | None) -> str:
    if freq is None:
        return "steps of no known time"
    return f"a step of {freq}" if steps_per_day is None else f"a step of {freq}, {steps_per_day} a day"
