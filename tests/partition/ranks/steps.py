"""Script of test_equal.py: twenty training steps in one process, or on one of several ranks.

    python steps.py JOBS.json

The first rank of each job writes losses, gradients and weights of the model with all series to the file `out`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.windows import WindowDataset
from elinformer.evaluation import backtest
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.partition import run_chain
from elinformer.partition.ranks import (
    Mesh,
    backtest_on_ranks,
    clip_gradients,
    shard_module,
    sum_gradients,
)

WINDOW, HORIZON, STEPS, CLIP = 6, 3, 20, 0.3


def new_model(n_series: int, dropout: float) -> ELinFormer:
    torch.manual_seed(7)
    config = ELinFormerConfig(
        window=WINDOW,
        horizon=HORIZON,
        n_series=n_series,
        n_slots=4,
        patch_length=3,
        window_width=8,
        series_width=4,
        calendar_width=2,
        n_layers=2,
        n_heads=2,
        dropout=dropout,
    )
    model = ELinFormer(config)
    model.embedding.eval()  # keeps the calendar
    return model


def batch(step: int, n_windows: int, n_series: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return windows of all series. Some series have gaps, and in odd steps a third of them has no observation."""
    generator = torch.Generator().manual_seed(step)
    values = torch.randn(n_windows, WINDOW + HORIZON, n_series, 1, generator=generator, dtype=torch.float64)
    mask = torch.rand(values.shape, generator=generator) < 0.8
    mask[: n_windows // 2, :, 1] = False
    if step % 2:
        mask[:, :WINDOW, -(n_series // 3) :] = False
    values = values.masked_fill(~mask, torch.nan).to(dtype)
    calendar = torch.randint(0, 4, (n_windows, WINDOW, 2), generator=generator)
    return {"values": values, "mask": mask, "calendar": calendar}


def loss_of(model: Any, data: dict[str, Tensor], exchanges: Any = ()) -> tuple[Tensor, Tensor]:
    """Return the sum of the absolute errors, and their number."""
    values, mask = data["values"], data["mask"]
    windows = Batch(values[:, :WINDOW], mask[:, :WINDOW], data["calendar"])
    outputs = run_chain(model, windows, exchanges) if exchanges else model(windows)
    error = torch.where(mask[:, WINDOW:], (outputs[..., 0] - values[:, WINDOW:]).abs(), 0)
    return error.sum(), mask[:, WINDOW:].sum()


def train_alone(settings: dict[str, Any]) -> dict[str, Any]:
    """Train in one process, without the code for ranks: the expected result."""
    model, optimizer = _prepare(settings)
    losses = []
    for step in range(STEPS):
        total, count = loss_of(model, batch(step, settings["windows"], settings["series"], _dtype(settings)))
        optimizer.zero_grad()
        (total / count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(float(total.detach() / count))
    return {"losses": losses, "gradients": _gradients(model), "weights": dict(model.state_dict())}


def train_on_rank(settings: dict[str, Any]) -> dict[str, Any]:
    mesh, n_series = Mesh.of_world(settings["series_parallel"]), settings["series"]
    model, _ = _prepare(settings)
    sharded = shard_module(model, mesh, n_series)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    shard = mesh.own_series(n_series)
    losses, norms = [], []
    n_steps = settings.get("steps", STEPS)
    for step in range(n_steps):
        data = batch(step, settings["windows"], n_series, _dtype(settings))
        data = {name: x[mesh.own_windows(settings["windows"])] for name, x in data.items()}
        data |= {name: data[name][:, :, shard] for name in ("values", "mask")}
        total, count = loss_of(model, data, sharded.exchanges)
        optimizer.zero_grad()
        loss = mesh.mean(total, count)
        loss.backward()
        sum_gradients(sharded)
        norms.append(float(clip_gradients(sharded, CLIP)))
        optimizer.step()
        losses.append(float(loss.detach()))
    traffic = {str(i): (layer.messages / n_steps, layer.bytes / n_steps) for i, layer in enumerate(sharded.traffic)}
    gradients = sharded.whole_state(_gradients(model))
    weights = sharded.whole_state(dict(model.state_dict()))
    return {"losses": losses, "norms": norms, "gradients": gradients, "weights": weights, "traffic": traffic}


def score(mesh: Mesh | None) -> dict[str, Tensor]:
    """Score the last value on windows whose number is not a multiple of the ranks."""
    rng = np.random.default_rng(0)
    values = rng.normal(10, 3, size=(60, 5, 2))
    panel = Panel.from_arrays(values, mask=rng.random(values.shape) < 0.8)
    windows = WindowDataset(panel, None, np.arange(WINDOW, 50), Reach(WINDOW, HORIZON))

    def last_value(windows: Batch) -> Tensor:
        return windows.values[:, -1:].nan_to_num().expand(-1, HORIZON, -1, -1)

    sums = backtest(last_value, windows, 4) if mesh is None else backtest_on_ranks(last_value, windows, 4, mesh)
    return vars(sums)


def _prepare(settings: dict[str, Any]) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = new_model(settings["series"], settings.get("dropout", 0.0)).to(_dtype(settings))
    model.set_sharpness(settings.get("sharpness", 1.0))
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2)


def _dtype(settings: dict[str, Any]) -> torch.dtype:
    return getattr(torch, settings["dtype"])


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def run_rank(rank: int, world: int, runs: dict[str, Any], out: str) -> None:
    """Train all runs of a job on one of `world` ranks."""
    dist.init_process_group("gloo", init_method=f"file://{out}.store", rank=rank, world_size=world)
    results = {name: train_on_rank(settings) for name, settings in runs.items()}
    results["scores"] = score(Mesh.of_world(next(iter(runs.values()))["series_parallel"]))
    if not rank:
        torch.save(results, out)
    dist.destroy_process_group()


def main(path: str) -> None:
    """Fork the ranks of each job in turn. Forks do not import PyTorch again, which takes long."""
    for job in json.loads(Path(path).read_text(encoding="utf-8")):
        arguments = (job["world"], job["runs"], job["out"])
        start_processes(run_rank, arguments, nprocs=job["world"], start_method="fork")


if __name__ == "__main__":
    main(sys.argv[1])
