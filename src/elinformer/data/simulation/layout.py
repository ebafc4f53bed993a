"""Random freeway networks: corridors with lane drops and interchanges, joined to a tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elinformer.data.simulation.freeway import CELL_KM, Freeway, apex_vph

CELLS_PER_SENSOR = 2
SENSORS_PER_CORRIDOR = 40
CAPACITY_OF_APEX = 0.94
BRANCH_SHARE = 0.28  # share of the traffic that turns off to a corridor that begins here
MERGE_SHARE = 0.25  # largest share of the traffic that comes from a corridor that ends here
METERED, RAMP_LEAST_VPH = 1.3, 200.0  # the limit of a ramp is METERED times its peak demand, or times this flow
HILL_WIDTH = 0.35  # length of the busiest stretch, as a share of the corridor


@dataclass(frozen=True)
class _Cells:
    """Position of every cell: its corridor, its number there, and whether an interchange is at its end."""

    corridor: np.ndarray
    position: np.ndarray
    length: np.ndarray  # of the cell's corridor, in cells
    segment: np.ndarray  # first cell after the last interchange, where the traffic changed
    interchange: np.ndarray
    heads: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class _Tree:
    """Junctions of corridors 1, 2, ... with earlier ones: the interchange, and True if the corridor ends there."""

    sites: np.ndarray
    merges: np.ndarray
    xy_km: np.ndarray


def random_freeway(n_sensors: int, rng: np.random.Generator) -> Freeway:
    """Return a network with `CELLS_PER_SENSOR` cells a sensor, and its demand at the height of the peak.

    Corridors have three to five lanes, of which most lose one on the way, and an interchange every two to three
    kilometres. Their traffic is 0.85 to 1.3 times the capacity of their bottleneck. Every corridor after the first
    branches off an earlier one or ends in one. So there is no circle of roads, in which a jam could last for ever.
    """
    cells = _cells(n_sensors, rng)
    tree = _join(cells, rng)
    lanes = _lanes(cells, rng)
    free_kmh = rng.uniform(101, 109, len(cells.heads))[cells.corridor] + rng.normal(0, 1.5, len(lanes))
    capacity = apex_vph(free_kmh, lanes) * CAPACITY_OF_APEX * rng.uniform(0.94, 1, len(lanes))
    flow = _peak_flow(cells, tree, capacity, rng)
    exit_share, share = _exits(cells, tree, flow, rng)
    demand, limit = _entries(cells, tree, flow, exit_share, capacity)
    child_ends, child_heads = cells.ends[1:], cells.heads[1:]
    return Freeway(
        corridor=cells.corridor,
        lanes=lanes,
        free_kmh=free_kmh,
        capacity=capacity,
        exit_share=exit_share,
        entry_limit=limit,
        entry_demand=demand,
        source=np.where(tree.merges, child_ends, tree.sites),
        target=np.where(tree.merges, tree.sites + 1, child_heads),
        share=share,
        xy_km=tree.xy_km,
    )


def _cells(n_sensors: int, rng: np.random.Generator) -> _Cells:
    n_corridors = max(2, round(n_sensors / SENSORS_PER_CORRIDOR))
    inner = np.arange(1, n_corridors) + rng.uniform(-0.25, 0.25, n_corridors - 1)
    cuts = np.concatenate([[0], np.rint(inner * n_sensors / n_corridors), [n_sensors]]).astype(np.int64)
    lengths = np.diff(cuts) * CELLS_PER_SENSOR
    corridor = np.repeat(np.arange(n_corridors), lengths)
    heads = cuts[:-1] * CELLS_PER_SENSOR
    length, position = lengths[corridor], np.arange(len(corridor)) - heads[corridor]
    spacing = rng.integers(4, 7, n_corridors)[corridor]
    return _Cells(
        corridor=corridor,
        position=position,
        length=length,
        segment=np.maximum((position - 3) // spacing * spacing + 3, 0),
        interchange=(position % spacing == 2) & (position < length - 1),
        heads=heads,
        ends=heads + lengths - 1,
    )


def _join(cells: _Cells, rng: np.random.Generator) -> _Tree:
    heading = rng.uniform(0, 2 * np.pi, len(cells.heads))[cells.corridor]
    wiggle = np.cumsum(rng.normal(0, 0.06, len(heading)))
    heading += wiggle - wiggle[cells.heads][cells.corridor]
    xy = np.cumsum(CELL_KM * np.stack([np.cos(heading), np.sin(heading)], 1), axis=0)
    shift = -xy[cells.heads]
    merges = rng.random(len(shift) - 1) < 0.5
    sites = np.zeros(len(merges), np.int64)
    joinable = np.flatnonzero(cells.interchange & ((cells.position > 2) | (cells.corridor == 0)))
    of_corridor = np.split(joinable, np.searchsorted(joinable, cells.heads[1:]))
    unused: list[int] = []
    for child, merging in enumerate(merges, start=1):
        unused.extend(of_corridor[child - 1].tolist())
        site = unused.pop(rng.integers(len(unused)))
        own = cells.ends[child] if merging else cells.heads[child]
        shift[child] = xy[site] + shift[cells.corridor[site]] - xy[own]
        sites[child - 1] = site
    return _Tree(sites=sites, merges=merges, xy_km=xy + shift[cells.corridor])


def _lanes(cells: _Cells, rng: np.random.Generator) -> np.ndarray:
    """Return the lanes (M,): three to five, and one fewer after some cell of most corridors."""
    n_corridors = len(cells.heads)
    drop = np.where(rng.random(n_corridors) < 0.75, rng.uniform(0.45, 0.9, n_corridors), 2.0)
    dropped = cells.position >= (drop * (cells.ends - cells.heads + 1))[cells.corridor]
    return (rng.integers(3, 6, n_corridors)[cells.corridor] - dropped).astype(np.float64)


def _peak_flow(cells: _Cells, tree: _Tree, capacity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the flow on the main line (M,) at the peak of an average weekday if there were no jams."""
    n_corridors = len(cells.heads)
    centre = rng.uniform(0.3, 0.9, n_corridors)
    rank = rng.permutation(n_corridors) + rng.random(n_corridors)
    load = 0.85 + 0.45 * rank / n_corridors  # evenly spread, so that a small network has quiet and busy corridors too
    along = cells.segment / cells.length - centre[cells.corridor]
    shape = 0.7 + 0.3 * np.exp(-0.5 * np.square(along / HILL_WIDTH))
    narrowest = np.maximum.reduceat(shape / capacity, cells.heads)
    flow = shape * (load / narrowest)[cells.corridor]
    for site, head in zip(tree.sites[~tree.merges], cells.heads[1:][~tree.merges], strict=True):
        first = slice(head, head + 3)  # before the first interchange, all traffic comes from the other corridor
        flow[first] = np.minimum(BRANCH_SHARE * flow[site], flow[first])
    return flow


def _exits(cells: _Cells, tree: _Tree, flow: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the share (M,) that leaves at the end of every cell, and the share (J,) of it that takes a ramp."""
    ratio = np.append(flow[1:], 0) / flow
    usual = np.maximum(rng.uniform(0.04, 0.14, len(flow)), 1.02 - ratio)
    exits = np.where(cells.interchange, usual, 0)
    exits[cells.ends] = 1
    exits[tree.sites[~tree.merges]] = BRANCH_SHARE
    site, end = tree.sites[tree.merges], cells.ends[1:][tree.merges]
    supply = np.minimum(flow[end], MERGE_SHARE * flow[site])
    exits[site] = np.clip(1 - ratio[site] + supply / flow[site], 0, 0.9)
    share = np.ones(len(tree.sites))
    share[tree.merges] = supply / flow[end]
    return exits, share


def _entries(
    cells: _Cells, tree: _Tree, flow: np.ndarray, exits: np.ndarray, capacity: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the peak demand of the entries (M,), which makes up the flow of the main line, and their limits (M,)."""
    needed = np.maximum(flow - np.append(0, (flow * (1 - exits))[:-1]), 0)
    entry = np.append(False, cells.interchange[:-1])
    limit = np.where(entry, METERED * np.maximum(needed, RAMP_LEAST_VPH), 0)
    limit[cells.heads] = capacity[cells.heads]
    demand = np.where(limit > 0, needed, 0)
    demand[tree.sites[tree.merges] + 1] = 0
    demand[cells.heads[1:][~tree.merges]] = 0
    return demand, limit
