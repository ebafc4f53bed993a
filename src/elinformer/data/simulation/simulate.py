"""simulate_freeway: speed and flow at any number of sensors of a simulated freeway network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elinformer.data.io.folder import write_recording
from elinformer.data.io.recording import Recording
from elinformer.data.pieces import Pieces
from elinformer.data.simulation.freeway import CELL_KM, HOURS_PER_STEP, STEP_S, Freeway, Traffic
from elinformer.data.simulation.layout import CELLS_PER_SENSOR, random_freeway
from elinformer.data.time_grid import make_grid, step_length
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.random import Generator

    from elinformer.data.panel import Panel

MPH_PER_KMH = 1 / 1.609344
KM_PER_DEGREE = 111.2
ORIGIN = (37.0, -120.0)  # latitude and longitude of the beginning of the first corridor
WARM_UP_MINUTES = 180
DAY_MINUTES = 1440
AT_SENSORS = slice(CELLS_PER_SENSOR - 1, -1, CELLS_PER_SENSOR)  # without the empty cell at the end

CAPACITY_NOISE, CAPACITY_MEMORY = 0.09, 0.92  # standard deviation, autocorrelation after a minute
DEMAND_NOISE, DEMAND_MEMORY = 0.08, 0.9
DAY_TO_DAY = 0.06
INCIDENTS_PER_CELL_MINUTE = 0.006 / DAY_MINUTES
SENSOR_NOISE, DRIVER_SPREAD = 0.012, 0.09  # standard deviations of speed: of a mean, of a vehicle
DROPPED_SHARE, DROP_LOG_MINUTES, DROP_LOG_SPREAD = 0.015, 3.3, 1.2


def simulate_freeway(
    n_series: int,
    n_steps: int,
    seed: int = 0,
    *,
    freq: str = "5min",
    start: str = "2024-01-01",
    folder: str | Path | None = None,
) -> Panel:
    """Simulate speed and flow at sensors on a branching freeway network.

    The cell transmission model moves traffic with daily and weekly demand, recurrent bottlenecks and incidents.
    Sensors, one a kilometre, add noise and drop out. Seed, number of sensors and start determine the traffic; the
    number of steps and the frequency do not change it. See docs/simulation.md.

    Args:
        n_series: Number of sensors, 10 to 100,000. A name such as "c03-012" is corridor and place on it.
        n_steps: Number of steps of `freq`.
        seed: Seed of the random numbers. The same seed gives the same values, to the bit, on the same machine and
            version of numpy.
        freq: Step, a whole number of minutes up to a day, as pandas writes it.
        start: Local time of the first step.
        folder: Folder to which the panel is written during the simulation, for one larger than memory.

    Returns:
        Panel with the channels `speed_mph` (mean speed) and `flow_vph` (vehicles per hour, all lanes), of which about
        1.5 % are missing, and with locations. It is mapped if `folder` is given.

    Raises:
        InputError: A number is out of its range, the frequency is no number of minutes, the start is no time, or the
            folder cannot be written.
    """
    _check_numbers(n_series, n_steps, seed)
    minutes = _minutes(freq)
    timestamps = make_grid(start, n_steps, freq)
    first = int(timestamps[0].astype("datetime64[m]").astype(np.int64))
    layout, *others = np.random.default_rng(seed).spawn(4)
    freeway = random_freeway(n_series, layout)
    shape = n_steps, n_series, 2
    steps = _simulate_steps(freeway, shape, first, minutes, others)
    recording = Recording(
        values=Pieces.of_blocks(steps, shape),
        times=timestamps,
        freq=freq,
        series=_names(freeway),
        channels=("speed_mph", "flow_vph"),
        locations=_locations(freeway),
        name="simulated freeway",
    )
    return recording.to_panel() if folder is None else write_recording(recording, folder)


def _check_numbers(n_series: int, n_steps: int, seed: int) -> None:
    if not 10 <= n_series <= 100_000:
        raise InputError(f"expected n_series between 10 and 100,000 sensors, got {n_series}: choose one in that range")
    if n_steps < 1:
        raise InputError(f"expected n_steps of at least 1, got {n_steps}: ask for one step or more")
    if seed < 0:
        raise InputError(f"expected a seed of 0 or more, got {seed}: pass one that is not negative")


def _minutes(freq: str) -> int:
    length = step_length(freq)
    minutes = 0.0 if length is None else length.total_seconds() / 60
    if minutes != int(minutes) or not 1 <= minutes <= DAY_MINUTES:
        raise InputError(f"expected freq of a whole number of minutes up to a day, got {freq!r}: pass freq='5min'")
    return int(minutes)


def _names(freeway: Freeway) -> tuple[str, ...]:
    corridor = freeway.corridor[::CELLS_PER_SENSOR]
    place = np.arange(len(corridor)) - freeway.heads[corridor] // CELLS_PER_SENSOR
    digits = max(2, len(str(corridor[-1])))
    return tuple(f"c{c:0{digits}d}-{p:03d}" for c, p in zip(corridor.tolist(), place.tolist(), strict=True))


def _locations(freeway: Freeway) -> np.ndarray:
    """Return latitude and longitude (N, 2) of the sensors."""
    east, north = freeway.xy_km[CELLS_PER_SENSOR - 1 :: CELLS_PER_SENSOR].T / KM_PER_DEGREE
    latitude, longitude = ORIGIN
    return np.stack([latitude + north, longitude + east / np.cos(np.radians(latitude))], axis=1)


def _simulate_steps(
    freeway: Freeway, shape: tuple[int, int, int], first: int, minutes: int, generators: list[Generator]
) -> Iterator[np.ndarray]:
    """Yield the measurements (1, N, 2) of every step of `minutes` from minute `first` on."""
    demand, capacity = _Demand(freeway, generators[0]), _Capacity(freeway, generators[1])
    traffic, sensors = Traffic(freeway), _Sensors(shape[1], generators[2])

    def advance(begin: int, n_minutes: int) -> None:
        for minute in range(begin, begin + n_minutes):
            demand.set_arrivals(minute, traffic)
            capacity.set_capacity(minute, traffic)
            for _ in range(60 // STEP_S):
                sensors.watch_step(traffic)

    advance(first - WARM_UP_MINUTES, WARM_UP_MINUTES)
    sensors.reset()
    for step in range(shape[0]):
        advance(first + step * minutes, minutes)
        yield sensors.read(minutes)[None]


class _Demand:
    """Demand at the entries: peak demand of the ramp x hour and weekday of the corridor x noise of day and ramp."""

    def __init__(self, freeway: Freeway, rng: Generator) -> None:
        self._rng = rng
        self._entries = np.flatnonzero(freeway.entry_demand)
        self._corridor = freeway.corridor[self._entries]
        self._peak = freeway.entry_demand[self._entries] * HOURS_PER_STEP
        self._noise = np.zeros(len(self._entries))
        n_corridors = len(freeway.heads)
        self._hours = np.stack([rng.uniform(7.2, 8.4, n_corridors), rng.uniform(16.5, 17.9, n_corridors)])
        self._widths = np.stack([rng.uniform(0.8, 1.2, n_corridors), rng.uniform(1.0, 1.5, n_corridors)])
        minor = rng.uniform(0.3, 0.75, n_corridors)
        to_town = rng.random(n_corridors) < 0.5
        self._heights = 0.4 * np.stack([np.where(to_town, 1, minor), np.where(to_town, minor, 1)])
        self._day, self._of_day = -1, np.ones(n_corridors)

    def set_arrivals(self, minute: int, traffic: Traffic) -> None:
        """Set the vehicles that arrive at every entry in each step of a minute (since 1970)."""
        day = minute // DAY_MINUTES
        if day != self._day:
            self._day, self._of_day = day, np.exp(self._rng.normal(0, DAY_TO_DAY, len(self._of_day)))
        self._noise *= DEMAND_MEMORY
        self._noise += self._rng.normal(0, _innovation(DEMAND_NOISE, DEMAND_MEMORY), len(self._noise))
        level = self._level(minute % DAY_MINUTES / 60, (day + 3) % 7) * self._of_day  # day 0 was a Thursday
        traffic.arrivals[self._entries] = self._peak * level[self._corridor] * (1 + self._noise)

    def _level(self, hour: float, weekday: int) -> np.ndarray:
        """Return the share (K,) of the peak demand at an hour of a weekday."""
        if weekday >= 5:
            afternoon = (0.68, 0.56)[weekday - 5] * np.exp(-0.5 * ((hour - 14) / 3.8) ** 2)
            return np.full(len(self._of_day), 0.07 + afternoon)
        daytime = 0.53 / (1 + np.exp((5.5 - hour) / 0.5)) / (1 + np.exp((hour - 20.5) / 0.8))
        peaks = self._heights * np.exp(-0.5 * np.square((hour - self._hours) / self._widths))
        return 0.07 + daytime + peaks.sum(0)


class _Capacity:
    """Capacity of the cells: design capacity x fluctuation by drivers x lanes that incidents leave open."""

    def __init__(self, freeway: Freeway, rng: Generator) -> None:
        self._noise_rng, self._incident_rng = rng.spawn(2)
        self._design = (freeway.capacity * HOURS_PER_STEP).astype(np.float32)
        self._noise, self._draw = np.zeros_like(self._design), np.zeros_like(self._design)
        self._left_open = np.ones_like(self._design)
        self._blocked, self._clear_at = np.zeros(0, np.int64), np.zeros(0, np.int64)  # cells with an incident

    def set_capacity(self, minute: int, traffic: Traffic) -> None:
        """Set the vehicles that pass every cell in each step of a minute."""
        self._block(minute)
        self._noise_rng.standard_normal(dtype=np.float32, out=self._draw)
        self._draw *= np.float32(_innovation(CAPACITY_NOISE, CAPACITY_MEMORY))
        self._noise *= np.float32(CAPACITY_MEMORY)
        self._noise += self._draw
        np.add(self._noise, 1, out=self._draw)
        self._draw *= self._design
        np.multiply(self._draw, self._left_open, out=traffic.capacity[:-1])

    def _block(self, minute: int) -> None:
        """End and begin incidents, which last 15 to 90 minutes and leave a third to two thirds of the capacity."""
        rng, over = self._incident_rng, self._clear_at <= minute
        self._left_open[self._blocked[over]] = 1
        n_new = rng.poisson(INCIDENTS_PER_CELL_MINUTE * len(self._design))
        cells = rng.integers(len(self._design), size=n_new)
        self._left_open[cells] = rng.uniform(0.33, 0.67, n_new)
        self._blocked = np.append(self._blocked[~over], cells)
        self._clear_at = np.append(self._clear_at[~over], minute + rng.integers(15, 91, n_new))


class _Sensors:
    """Loop detectors: they average over a step, count with errors, and drop out for minutes to hours."""

    def __init__(self, n_sensors: int, rng: Generator) -> None:
        self._noise_rng, self._drop_rng, bias_rng = rng.spawn(3)
        self._bias = bias_rng.normal(1, 0.01, n_sensors).astype(np.float32)
        self._present, self._passed = np.zeros(n_sensors, np.float32), np.zeros(n_sensors, np.float32)
        self._noise = np.zeros((2, n_sensors), np.float32)
        self._silent = np.zeros(n_sensors)  # minutes until a sensor works again
        self._fail(DAY_MINUTES)

    def watch_step(self, traffic: Traffic) -> None:
        """Advance the traffic by a step, and count the vehicles on the cells of the sensors and those that leave."""
        self._present += traffic.vehicles[AT_SENSORS]
        traffic.step()
        self._passed += traffic.outflow[AT_SENSORS]

    def reset(self) -> None:
        """Start a new average."""
        self._present.fill(0)
        self._passed.fill(0)

    def read(self, minutes: int) -> np.ndarray:
        """Return mean speed and flow (N, 2) of the last `minutes`, NaN for a sensor that dropped out."""
        self._noise_rng.standard_normal(dtype=np.float32, out=self._noise)
        count = np.maximum(np.rint(self._passed + 0.3 * np.sqrt(self._passed) * self._noise[0]), 0)
        speed = self._passed / np.maximum(self._present, 1e-3) * (CELL_KM / HOURS_PER_STEP * MPH_PER_KMH)
        speed *= self._bias + self._noise[1] * np.sqrt(SENSOR_NOISE**2 + DRIVER_SPREAD**2 / np.maximum(count, 1))
        self._fail(minutes)
        silent = self._silent > 0
        self.reset()
        seen = np.stack([np.clip(speed, 2, 90), count * (60 / minutes)], -1).astype(np.float32)
        seen[silent] = np.nan
        return seen

    def _fail(self, minutes: int) -> None:
        """Advance by `minutes`, in which some sensors drop out."""
        rng = self._drop_rng
        mean = np.exp(DROP_LOG_MINUTES + DROP_LOG_SPREAD**2 / 2)
        n_new = rng.poisson(DROPPED_SHARE / mean * minutes * len(self._silent))
        failing = rng.integers(len(self._silent), size=n_new)
        lasting = rng.lognormal(DROP_LOG_MINUTES, DROP_LOG_SPREAD, n_new)
        self._silent -= minutes
        np.maximum.at(self._silent, failing, lasting - rng.uniform(0, minutes, n_new))


def _innovation(deviation: float, memory: float) -> float:
    """Return the standard deviation of the innovations of a first-order autoregression."""
    return deviation * float(np.sqrt(1 - memory**2))
