"""Measure training steps on 1, 2 and 4 ranks and fit the cost model of docs/scale.md to them.

    python -m benchmarks.ranks --series 512,1024,2048 --meshes 1x1,1x2,1x4,2x1,2x2

A mesh is rows x columns: windows are split over the rows, and series over the columns. The largest number of series is
held out: the cost model is fitted to the others and predicts its seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from benchmarks._common import OtherLoad, environment, environment_text, load_warning, write_results
from benchmarks._cost import step_cost
from elinformer.batch import Batch
from elinformer.evaluation import AbsoluteError, targets_of
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.partition import run_chain
from elinformer.partition.ranks import Mesh, clip_gradients, shard_module, sum_gradients

if TYPE_CHECKING:
    from elinformer.partition.ranks import ShardedModule

Row = dict[str, Any]

WINDOW, HORIZON, SLOTS = 12, 12, 288
TERMS = ("seconds an operation", "seconds a message", "seconds a byte")


def main() -> None:
    """Measure, fit, print and write."""
    options = _options()
    notes = [note for note in [load_warning()] if note]
    with OtherLoad() as other_load:
        rows = [row for mesh in options.meshes for row in measured(mesh, options)]
    notes += [note for note in [other_load.note()] if note]
    about = environment("cpu", 1)
    model = fitted([row for row in rows if row["series"] < max(options.series)])
    for row in rows:
        row["predicted"] = float(_terms(row) @ np.array(model))
    formula = "; ".join(f"{name} {value:.2e}" for name, value in zip(TERMS, model, strict=True))
    text = "\n\n".join(["# Steps on ranks", environment_text(about), *notes, table(rows), f"Fitted: {formula}."])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "notes": notes, "rows": rows, "model": model}, text)


def measured(mesh: tuple[int, int], options: argparse.Namespace) -> list[Row]:
    """Measure a row for each number of series, on ranks that are forked for this mesh."""
    with tempfile.TemporaryDirectory() as folder:
        start_processes(_rank, (mesh, options, folder), nprocs=mesh[0] * mesh[1], start_method="fork")
        return json.loads(Path(folder, "rows.json").read_text(encoding="utf-8"))


def fitted(rows: list[Row]) -> list[float]:
    """Fit seconds of an operation, a message and a byte: none is negative, and the relative error is the least."""
    columns, seconds = np.stack([_terms(row) for row in rows]), np.array([row["seconds"] for row in rows])
    columns, best, least = columns / seconds[:, None], [0.0] * len(TERMS), np.inf
    for used in itertools.product((False, True), repeat=len(TERMS)):
        mask = np.array(used)
        found = np.zeros(len(TERMS))
        found[mask] = np.linalg.lstsq(columns[:, mask], np.ones(len(rows)), rcond=None)[0]
        error = float(np.square(columns @ found - 1).sum())
        if (found >= 0).all() and error < least:
            best, least = found.tolist(), error
    return best


def table(rows: list[Row]) -> str:
    """Make a table with a line for each mesh and number of series."""
    head = ("windows x series", "series", "a step", "predicted", "a layer sends", "a step sends", "messages")
    lines = [f"| {' | '.join(head)} |", "|" + " ---: |" * len(head)]
    for row in rows:
        handed = row["handed_in"]
        agree = all(handed[name] == row["counted"][name] for name in handed)
        cells = (
            "{} x {}".format(*row["mesh"]),
            f"{row['series']:,}",
            f"{row['seconds'] * 1e3:,.0f} ms",
            f"{row['predicted'] * 1e3:,.0f} ms",
            f"{handed['layer_bytes']:,} B",
            f"{handed['bytes']:,} B",
            f"{handed['messages']}" if agree else f"{handed['messages']} (the formula differs)",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _terms(row: Row) -> np.ndarray:
    """Regressors of the seconds of a step: more ranks than cores take turns, and a ring sends bytes on."""
    ranks, counted = row["mesh"][0] * row["mesh"][1], row["counted"]
    turns = ranks / min(ranks, os.cpu_count() or 1)
    return np.array(
        [counted["operations"] * turns, counted["messages"], counted["bytes"] * 2 * (ranks - 1) / ranks], dtype=float
    )


def _rank(rank: int, mesh: tuple[int, int], options: argparse.Namespace, folder: str) -> None:
    torch.set_num_threads(1)
    world = mesh[0] * mesh[1]
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    rows = [_row(mesh, n, options) for n in options.series]
    if not rank:
        Path(folder, "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    dist.destroy_process_group()


def _row(shape: tuple[int, int], n_series: int, options: argparse.Namespace) -> Row:
    mesh, windows = Mesh.of_world(shape[1]), options.batch_size
    config = ELinFormerConfig(window=WINDOW, horizon=HORIZON, n_series=n_series, n_slots=SLOTS)
    torch.manual_seed(0)
    model = ELinFormer(config)
    own = model.embedding.series.weight.numel()
    shared = sum(p.numel() for p in model.parameters()) - own
    sharded = shard_module(model, mesh, n_series)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    values = torch.randn(windows, WINDOW + HORIZON, n_series, 1)
    batch = _batch(values[mesh.own_windows(windows)][:, :, mesh.own_series(n_series)])
    _step(sharded, optimizer, batch)
    before = _handed_in(sharded)
    seconds = [_timed(sharded, optimizer, batch) for _ in range(options.steps)]
    handed = {name: (n - before[name]) // options.steps for name, n in _handed_in(sharded).items()}
    cost = step_cost(config, windows, rows=shape[0], columns=shape[1], shared=shared, own=own)
    return {
        "mesh": shape,
        "series": n_series,
        "seconds": min(seconds),
        "handed_in": handed,
        "counted": asdict(cost),
    }


def _batch(values: torch.Tensor) -> Batch:
    calendar = torch.ones(*values.shape[:2], 2, dtype=torch.int64)
    mask = torch.ones_like(values, dtype=torch.bool)
    past, future = slice(WINDOW), slice(WINDOW, None)
    return Batch(values[:, past], mask[:, past], calendar, values[:, future], mask[:, future])


def _handed_in(sharded: ShardedModule) -> dict[str, int]:
    layers, mesh = sharded.traffic, sharded.mesh
    every = [*layers, *(group.traffic for group in (mesh.across_all, mesh.across_series, mesh.across_windows))]
    return {
        "layer_bytes": max((layer.bytes for layer in layers), default=0),
        "bytes": sum(part.bytes for part in every),
        "messages": sum(part.messages for part in every),
    }


def _timed(sharded: ShardedModule, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    dist.barrier()
    began = time.perf_counter()
    _step(sharded, optimizer, batch)
    return time.perf_counter() - began


def _step(sharded: ShardedModule, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    model: Any = sharded.module
    outputs = run_chain(model, batch, sharded.exchanges) if sharded.exchanges else model(batch)
    target, mask = targets_of(batch)
    total = AbsoluteError().total(outputs, target, mask, torch.ones(()))
    optimizer.zero_grad()
    sharded.mesh.mean(total, mask.sum()).backward()
    sum_gradients(sharded)
    clip_gradients(sharded, 1.0)
    optimizer.step()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _meshes(text: str) -> list[tuple[int, int]]:
    return [(int(rows), int(columns)) for rows, _, columns in (part.partition("x") for part in text.split(","))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=_numbers, default=[512, 1024, 2048])
    parser.add_argument("--meshes", type=_meshes, default=_meshes("1x1,1x2,1x4,2x1,2x2"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", help="name of the files in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
