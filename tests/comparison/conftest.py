"""Data, models and runs for comparisons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elinformer.comparison.plan import Contender, Job, make_tasks
from elinformer.data.panel import Panel

MODELS = '''
import os, signal
import torch
from torch import nn


class Flat(nn.Module):
    """One linear map over time."""

    def __init__(self, window, horizon, *, hidden=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(window, hidden), nn.Linear(hidden, horizon))

    def forward(self, batch):
        window = torch.where(batch.mask, batch.values, 0).permute(0, 2, 3, 1)
        return self.layers(window).permute(0, 3, 1, 2)[..., None]


class Broken(Flat):
    def forward(self, batch):
        raise RuntimeError("this model\\nis broken")


class Killed(Flat):
    def forward(self, batch):
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(Flat):
    def forward(self, batch):
        import time
        time.sleep(0.03)
        return super().forward(batch)


def number():
    return 1

VALUE = 3
'''

SMALL = {"window": 6, "horizon": 3, "training": {"epochs": 2}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hourly_panel: Panel) -> Path:
    """The folder of now, with `d.npz` and a module `contestants`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    np.savez("d.npz", data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h", series=list("abcd"))
    Path("contestants.py").write_text(MODELS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def make_job(folder: Path) -> Callable[..., Job]:
    """A job on `d.npz`."""

    def make(name: str, *, seed: int = 0, label: str | None = None, data: str = "d.npz", **changes: Any) -> Job:
        options = changes.pop("options", {})
        (task,) = make_tasks([data], [SMALL, changes])
        return Job(task, Contender(label or name, name, options), seed)

    return make
