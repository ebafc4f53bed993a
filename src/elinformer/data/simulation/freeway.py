"""Freeway networks as arrays over cells, and the cell transmission model of traffic on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CELL_KM = 0.5
STEP_S = 15
WAVE_KMH = 19.0
JAM_PER_KM = 120.0  # vehicles per km and lane, standing
CONNECTOR_STORAGE = 150.0  # vehicles that fit on a ramp between two corridors
HOURS_PER_STEP = STEP_S / 3600


@dataclass(frozen=True)
class Freeway:
    """Network of K corridors with M cells, corridor after corridor in the direction of travel.

    Flows are vehicles per hour. J ramps connect corridors.

    Attributes:
        corridor: (M,) number of the corridor of a cell.
        lanes: (M,) number of lanes.
        free_kmh: (M,) speed of free traffic.
        capacity: (M,) largest flow through a cell.
        exit_share: (M,) share of the traffic at the end of a cell that leaves the corridor; 1 at the last cell.
        entry_limit: (M,) largest flow of the ramp at the beginning of a cell, 0 without a ramp.
        entry_demand: (M,) demand at this ramp at the height of the peak, on an average day.
        source: (J,) cells at whose end a connecting ramp begins.
        target: (J,) cells at whose beginning it ends, all distinct.
        share: (J,) share of the exiting traffic that takes the ramp; the rest leaves the network.
        xy_km: (M, 2) position of the cells, east and north of an origin.
    """

    corridor: np.ndarray
    lanes: np.ndarray
    free_kmh: np.ndarray
    capacity: np.ndarray
    exit_share: np.ndarray
    entry_limit: np.ndarray
    entry_demand: np.ndarray
    source: np.ndarray
    target: np.ndarray
    share: np.ndarray
    xy_km: np.ndarray

    @property
    def n_cells(self) -> int:
        """Number of cells, M."""
        return len(self.corridor)

    @property
    def heads(self) -> np.ndarray:
        """First cell of every corridor, (K,)."""
        return np.flatnonzero(np.diff(self.corridor, prepend=-1))


def apex_vph(free_kmh: np.ndarray, lanes: np.ndarray) -> np.ndarray:
    """Flow at the tip of the triangular fundamental diagram, (M,).

    Source: Daganzo 1994, with free speed v, wave speed w and jam density k: v w k / (v + w).
    """
    return lanes * free_kmh * WAVE_KMH * JAM_PER_KM / (free_kmh + WAVE_KMH)


class Traffic:
    """Vehicles on a freeway and at its entries, advanced in place by steps of the cell transmission model.

    Arrays have one more cell than the freeway, which stays empty. The caller sets `capacity` and `arrivals` between
    steps.

    Attributes:
        vehicles: (M + 1,) vehicles on the cells.
        queue: (M + 1,) vehicles that wait to enter at the beginning of the cells.
        capacity: (M + 1,) most vehicles that pass a cell in a step.
        arrivals: (M + 1,) vehicles that join the queue in a step.
        outflow: (M + 1,) vehicles that left the cells in the last step.
        through: (M,) vehicles among them that moved to the next cell.

    Source: Daganzo 1994 (flows) and 1995 (merge by priority, first-in-first-out diverge).
    """

    def __init__(self, freeway: Freeway) -> None:
        keep = 1 - freeway.exit_share
        ends = np.append(freeway.heads[1:], freeway.n_cells)  # boundaries at which a corridor ends
        self.vehicles, self.queue, self.arrivals, self.outflow = (_with_empty_cell(0 * keep) for _ in range(4))
        self.capacity = _with_empty_cell(freeway.capacity * HOURS_PER_STEP)
        self.through = np.zeros(freeway.n_cells, np.float32)
        self._ends = ends
        self._jam = _with_empty_cell(freeway.lanes * JAM_PER_KM * CELL_KM)
        self._travel = _with_empty_cell(freeway.free_kmh * HOURS_PER_STEP / CELL_KM)
        self._wave = np.float32(WAVE_KMH * HOURS_PER_STEP / CELL_KM)
        self._keep = keep.astype(np.float32)
        self._per_through = (1 / np.where(keep > 0, keep, 1)).astype(np.float32)
        self._entry_limit = _with_empty_cell(freeway.entry_limit * HOURS_PER_STEP)
        upstream = np.append(0.0, freeway.capacity[:-1])
        self._priority = _with_empty_cell(upstream / (upstream + np.maximum(freeway.entry_limit, 1.0)))
        self._source, self._target = freeway.source, freeway.target
        self._connecting = (freeway.share * freeway.exit_share[freeway.source]).astype(np.float32)
        self._connected = np.zeros(len(self._source), np.float32)
        self._space, self._waiting, self._room, self._entering = (np.zeros_like(self.vehicles) for _ in range(4))

    def step(self) -> None:
        """Advance by `STEP_S` seconds."""
        self._find_space()
        self._send()
        self._enter()
        self.vehicles -= self.outflow
        self.vehicles += self._entering
        self.vehicles[1:] += self.through

    def left(self) -> float:
        """Return the number of vehicles that left the network in the last step."""
        stayed = self.through.sum(dtype=np.float64) + self._connected.sum(dtype=np.float64)
        return float(self.outflow.sum(dtype=np.float64) - stayed)

    def _find_space(self) -> None:
        """Compute the space of every cell, and the share of it for traffic on the main line."""
        np.subtract(self._jam, self.vehicles, out=self._space)
        np.multiply(self._space, self._wave, out=self._space)
        np.minimum(self._space, self.capacity, out=self._space)
        np.add(self.queue, self.arrivals, out=self.queue)
        np.minimum(self.queue, self._entry_limit, out=self._waiting)
        np.subtract(self._space, self._waiting, out=self._room)
        np.multiply(self._space, self._priority, out=self._entering)
        np.maximum(self._room, self._entering, out=self._room)

    def _send(self) -> None:
        """Compute the outflow of every cell: all vehicles that are ready, or as many as fit behind a diverge."""
        room, outflow = self._room[1:], self.outflow[:-1]
        np.multiply(room, self._per_through, out=room)
        self._room[self._ends] = np.inf
        np.multiply(self.vehicles, self._travel, out=self.outflow)
        np.minimum(self.outflow, self.capacity, out=self.outflow)
        np.minimum(outflow, room, out=outflow)
        ramp_room = (CONNECTOR_STORAGE - self.queue[self._target]) / self._connecting
        self.outflow[self._source] = np.minimum(self.outflow[self._source], ramp_room)
        np.multiply(outflow, self._keep, out=self.through)

    def _enter(self) -> None:
        """Let vehicles enter by the ramps: all that wait, or as many as the main line leaves space for."""
        np.subtract(self._space[1:], self.through, out=self._space[1:])
        np.minimum(self._waiting, self._space, out=self._entering)
        np.subtract(self.queue, self._entering, out=self.queue)
        np.multiply(self.outflow[self._source], self._connecting, out=self._connected)
        self.queue[self._target] += self._connected


def _with_empty_cell(values: np.ndarray) -> np.ndarray:
    """Return an array in float32 with one empty cell appended."""
    return np.append(values, 0).astype(np.float32)
