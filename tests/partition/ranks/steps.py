"""Twenty steps of training, by one process or as one of several ranks; started by test_equal.py.

    python steps.py JOBS.json

writes losses, gradients and weights of the whole model of each job to its `out`, from its first rank.
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
from elinformer.data.windows import Reach, WindowDataset
from elinformer.evaluation import backtest
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.partition import run_chain
from elinformer.partition.ranks import (
    Mesh,
    backtest_on_ranks,
    clip_gradients,
    mean_over_ranks,
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
    model.embedding.eval()  # the calendar is never neutral
    return model


def batch(step: int, n_windows: int, n_series: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Windows of all series; the last third of them is silent in every other step, and some always are."""
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
    """The sum of absolute errors, and how many there are."""
    values, mask = data["values"], data["mask"]
    given = Batch(values[:, :WINDOW], mask[:, :WINDOW], data["calendar"])
    outputs = run_chain(model, given, exchanges) if exchanges else model(given)
    error = torch.where(mask[:, WINDOW:], (outputs[..., 0] - values[:, WINDOW:]).abs(), 0)
    return error.sum(), mask[:, WINDOW:].sum()


def train_alone(settings: dict[str, Any]) -> dict[str, Any]:
    """The oracle: one process, nothing of this package's parallel part."""
    model, optimizer = _prepared(settings)
    losses, gradients = [], {}
    for step in range(STEPS):
        total, count = loss_of(model, batch(step, settings["windows"], settings["series"], _dtype(settings)))
        optimizer.zero_grad()
        (total / count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        gradients = _gradients(model)
        optimizer.step()
        losses.append(float(total.detach() / count))
    return {"losses": losses, "gradients": gradients, "weights": dict(model.state_dict())}


def train_as_rank(settings: dict[str, Any]) -> dict[str, Any]:
    mesh, n_series = Mesh.of_world(settings["series_parallel"]), settings["series"]
    model, _ = _prepared(settings)
    sharded = shard_module(model, mesh, n_series)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    own = mesh.own_series(n_series)
    losses, norms, gradients = [], [], {}
    for step in range(STEPS):
        data = batch(step, settings["windows"], n_series, _dtype(settings))
        data = {name: x[mesh.own_windows(settings["windows"])] for name, x in data.items()}
        data |= {name: data[name][:, :, own] for name in ("values", "mask")}
        total, count = loss_of(model, data, sharded.exchanges)
        optimizer.zero_grad()
        loss = mean_over_ranks(total, count, mesh)
        loss.backward()
        sum_gradients(sharded)
        norms.append(float(clip_gradients(sharded, CLIP)))
        gradients = sharded.whole_state(_gradients(model))
        optimizer.step()
        losses.append(float(loss.detach()))
    traffic = {str(i): (layer.messages / STEPS, layer.bytes / STEPS) for i, layer in enumerate(sharded.traffic)}
    weights = sharded.whole_state(dict(model.state_dict()))
    return {"losses": losses, "norms": norms, "gradients": gradients, "weights": weights, "traffic": traffic}


def scored(mesh: Mesh | None) -> dict[str, Tensor]:
    """Sums of errors of the last value over windows whose number is no multiple of the ranks."""
    rng = np.random.default_rng(0)
    values = rng.normal(10, 3, size=(60, 5, 2))
    panel = Panel.from_arrays(values, mask=rng.random(values.shape) < 0.8)
    windows = WindowDataset(panel, None, np.arange(WINDOW, 50), Reach(WINDOW, HORIZON))

    def last_value(given: Batch) -> Tensor:
        return given.values[:, -1:].nan_to_num().expand(-1, HORIZON, -1, -1)

    sums = backtest(last_value, windows, 4) if mesh is None else backtest_on_ranks(last_value, windows, 4, mesh)
    return vars(sums)


def _prepared(settings: dict[str, Any]) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = new_model(settings["series"], settings.get("dropout", 0.0)).to(_dtype(settings))
    model.set_sharpness(settings.get("sharpness", 1.0))
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2)


def _dtype(settings: dict[str, Any]) -> torch.dtype:
    return getattr(torch, settings["dtype"])


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def as_rank(rank: int, world: int, runs: dict[str, Any], out: str) -> None:
    """Train every run as one of `world` ranks."""
    dist.init_process_group("gloo", init_method=f"file://{out}.store", rank=rank, world_size=world)
    results = {name: train_as_rank(settings) for name, settings in runs.items()}
    results["scores"] = scored(Mesh.of_world(next(iter(runs.values()))["series_parallel"]))
    if not rank:
        torch.save(results, out)
    dist.destroy_process_group()


def main(path: str) -> None:
    """Fork the ranks of one mesh after the other: what takes long is to import PyTorch."""
    for job in json.loads(Path(path).read_text(encoding="utf-8")):
        arguments = (job["world"], job["runs"], job["out"])
        start_processes(as_rank, arguments, nprocs=job["world"], start_method="fork")


if __name__ == "__main__":
    main(sys.argv[1])
