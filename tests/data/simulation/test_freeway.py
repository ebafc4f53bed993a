from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer.data.simulation.freeway import (
    CELL_KM,
    CONNECTOR_STORAGE,
    HOURS_PER_STEP,
    JAM_PER_KM,
    STEP_S,
    WAVE_KMH,
    Freeway,
    Traffic,
    apex_vph,
)
from elinformer.data.simulation.layout import random_freeway

FREE_KMH = 105.0
seeds = st.integers(0, 2**32 - 1)


def a_road(n_cells: int = 40, narrow_from: int = 40) -> Freeway:
    """Return one corridor of three lanes, two after some cell, with an entry at its begin and an exit at its end."""
    lanes = np.where(np.arange(n_cells) < narrow_from, 3.0, 2.0)
    capacity = 0.95 * apex_vph(np.full(n_cells, FREE_KMH), lanes)
    at_last = np.arange(n_cells) == n_cells - 1
    return Freeway(
        corridor=np.zeros(n_cells, np.int64),
        lanes=lanes,
        free_kmh=np.full(n_cells, FREE_KMH),
        capacity=capacity,
        exit_share=at_last.astype(float),
        entry_limit=np.where(np.arange(n_cells) == 0, capacity, 0),
        entry_demand=np.zeros(n_cells),
        source=np.zeros(0, np.int64),
        target=np.zeros(0, np.int64),
        share=np.zeros(0),
        xy_km=np.zeros((n_cells, 2)),
    )


def run(traffic: Traffic, n_steps: int) -> None:
    for _ in range(n_steps):
        traffic.step()


def loaded(seed: int, n_sensors: int) -> tuple[Freeway, Traffic]:
    """Return a random network at the height of an overloaded peak, with some cells nearly closed."""
    rng = np.random.default_rng(seed)
    freeway = random_freeway(n_sensors, rng)
    traffic = Traffic(freeway)
    traffic.arrivals[:-1] = freeway.entry_demand * HOURS_PER_STEP * rng.uniform(0.5, 2)
    traffic.capacity[rng.integers(freeway.n_cells, size=3)] *= rng.uniform(0.05, 0.5)
    return freeway, traffic


def in_network(traffic: Traffic) -> float:
    return traffic.vehicles.sum(dtype=np.float64) + traffic.queue.sum(dtype=np.float64)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n_sensors=st.integers(10, 300))
def test_the_number_of_vehicles_is_conserved(seed: int, n_sensors: int):
    _, traffic = loaded(seed, n_sensors)
    expected = 0.0
    for _ in range(150):
        traffic.step()
        expected += traffic.arrivals.sum(dtype=np.float64) - traffic.left()
    assert in_network(traffic) > 10
    assert in_network(traffic) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, n_sensors=st.integers(10, 300))
def test_a_cell_holds_between_no_vehicle_and_a_standing_jam(seed: int, n_sensors: int):
    freeway, traffic = loaded(seed, n_sensors)
    run(traffic, 300)
    assert traffic.vehicles.min() >= -1e-4
    assert traffic.queue.min() >= -1e-4
    assert (traffic.vehicles[:-1] <= freeway.lanes * JAM_PER_KM * CELL_KM * (1 + 1e-5)).all()
    assert traffic.queue[freeway.target].max() <= CONNECTOR_STORAGE * (1 + 1e-5)
    assert traffic.vehicles[-1] == 0


@settings(max_examples=5, deadline=None)
@given(seed=seeds, n_sensors=st.integers(10, 300))
def test_an_overloaded_network_empties_without_arrivals(seed: int, n_sensors: int):
    freeway, traffic = loaded(seed, n_sensors)
    run(traffic, 240)
    before, traffic.arrivals[:] = in_network(traffic), 0
    traffic.capacity[:-1] = freeway.capacity * HOURS_PER_STEP
    run(traffic, 3 * 240)
    assert in_network(traffic) < 0.1 * before


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n_sensors=st.integers(10, 600))
def test_the_corridors_of_a_random_network_form_a_tree(seed: int, n_sensors: int):
    freeway = random_freeway(n_sensors, np.random.default_rng(seed))
    ends = np.stack([freeway.corridor[freeway.source], freeway.corridor[freeway.target]])
    assert sorted(ends.max(0)) == list(range(1, len(freeway.heads)))  # every later one is joined once
    assert (ends.min(0) < ends.max(0)).all()  # to an earlier one
    assert len(set(freeway.target)) == len(freeway.target)


def test_free_traffic_moves_at_free_speed_and_passes_unchanged():
    traffic = Traffic(a_road())
    traffic.arrivals[0] = 3000 * HOURS_PER_STEP
    run(traffic, 300)
    flow = traffic.outflow[:-1] / HOURS_PER_STEP
    np.testing.assert_allclose(flow, 3000, rtol=1e-4)
    np.testing.assert_allclose(flow * CELL_KM / traffic.vehicles[:-1], FREE_KMH, rtol=1e-4)


def test_the_queue_at_a_lane_drop_grows_upstream_as_a_shock_wave():
    road = a_road(narrow_from=30)
    traffic = Traffic(road)
    upstream_vph, downstream_vph = 4500.0, road.capacity[30]
    traffic.arrivals[0] = upstream_vph * HOURS_PER_STEP
    reached = np.full(road.n_cells, -1)
    half_full = 0.5 * (upstream_vph / FREE_KMH + road.lanes * JAM_PER_KM - downstream_vph / WAVE_KMH) * CELL_KM
    for step in range(600):
        traffic.step()
        reached[(reached < 0) & (traffic.vehicles[:-1] > half_full)] = step
    tail = np.arange(10, 26)
    hours = reached[tail] * STEP_S / 3600
    queued = road.lanes[0] * JAM_PER_KM - downstream_vph / WAVE_KMH
    shock_kmh = (downstream_vph - upstream_vph) / (queued - upstream_vph / FREE_KMH)
    assert traffic.outflow[35] / HOURS_PER_STEP == pytest.approx(downstream_vph, rel=1e-3)
    assert np.polyfit(hours, tail * CELL_KM, 1)[0] == pytest.approx(shock_kmh, rel=0.05)
    assert shock_kmh < -3


def test_queues_on_main_line_and_ramp_share_the_space_by_priority():
    road = a_road()
    road = replace(road, entry_limit=np.where(np.arange(40) == 20, road.capacity / 3, road.entry_limit))
    traffic = Traffic(road)
    traffic.queue[[0, 20]] = 1e5
    run(traffic, 600)
    through, total = traffic.through[19] / HOURS_PER_STEP, traffic.outflow[25] / HOURS_PER_STEP
    assert total == pytest.approx(road.capacity[20], rel=1e-3)
    assert through / total == pytest.approx(3 / 4, rel=1e-3)


@pytest.mark.parametrize("lets_pass_vph", [300.0, 600.0])
def test_a_full_exit_holds_up_the_main_line(lets_pass_vph: float):
    road = a_road()
    road = replace(
        road,
        corridor=np.repeat([0, 1], 20),
        exit_share=np.where(np.arange(40) == 10, 0.25, np.isin(np.arange(40), [19, 39])),
        entry_limit=np.where(np.isin(np.arange(40), [0, 20]), road.capacity, 0),
        source=np.array([10]),
        target=np.array([20]),
        share=np.ones(1),
    )
    traffic = Traffic(road)
    traffic.arrivals[0] = 4000 * HOURS_PER_STEP
    traffic.capacity[20] = lets_pass_vph * HOURS_PER_STEP
    run(traffic, 1200)
    assert traffic.outflow[10] / HOURS_PER_STEP == pytest.approx(lets_pass_vph / 0.25, rel=1e-2)
    assert traffic.outflow[39] / HOURS_PER_STEP == pytest.approx(lets_pass_vph, rel=1e-2)
