"""The rows that series have in the tables of a model (their embeddings), found with everything else frozen.

An encoder says from what is known of a series which row it should have. It learns that by the forecast error of the
frozen model, from series of training whose rows are hidden at random, half of them in every step; new series are
always hidden. To what the encoder says, a hidden series adds a row of its own, which follows the same gradient: with
much history it corrects the encoder, with little it stays near zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from elinformer.data.windows import WindowDataset
from elinformer.evaluation import MetricSums, backtest
from elinformer.nn.per_series import per_series_names
from elinformer.nn.series_encoder import SeriesEncoder

if TYPE_CHECKING:
    import numpy as np

    from elinformer.data.panel import Panel
    from elinformer.data.windows import Batch
    from elinformer.training.fitted import Fitted

BATCH = 16
ENCODER_RATE, OWN_RATE = 1e-2, 1e-1
DECAY = 0.1
"""Of weights of the encoder and of what series add to it (AdamW)."""
HIDDEN = 0.5
"""Share of the series of training whose rows are hidden in a step."""


class NewRows:
    """Finds and judges rows of series.

    Args:
        fitted: A model of all series, the rows of the new ones anything.
        panel: The history of all.
        features: (N, F) what is known of every series.
        is_new: (N,) whose rows are unknown.
        usable: (N,) whose rows can be learnt from or have to be found.
    """

    def __init__(self, fitted: Fitted, panel: Panel, features: Tensor, is_new: Tensor, usable: Tensor) -> None:
        self.fitted, self.panel, self.features = fitted, panel, features
        self.is_new, self.usable = is_new, usable
        self.tables = tables_of(fitted.model)
        tables = [table.flatten(1) for table in self.tables.values()]
        self.trained = torch.cat([torch.zeros(len(is_new), 0), *tables], dim=1)  # (N, K)
        self.batch = min(BATCH, fitted.batch_size)

    def find(self, origins: np.ndarray, steps: int) -> Tensor:
        """Rows (N, K) from the windows of `origins`: of new series, and of the others as if theirs were not known."""
        if not self.tables:
            return self.trained
        encoder = SeriesEncoder(self.features.shape[1], self.trained[self.usable & ~self.is_new])
        own = nn.Parameter(torch.zeros_like(self.trained))
        rates = [ENCODER_RATE, OWN_RATE]
        groups = [{"params": list(encoder.parameters())}, {"params": [own]}]
        optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps + 1, pct_start=0.1)
        windows = self._windows(origins)
        for _ in range(steps):
            hidden = self.usable & (self.is_new | (torch.rand(len(own)) < HIDDEN))
            rows = torch.where(hidden[:, None], encoder(self.features, own), self.trained)
            loss = self._loss(rows, windows[torch.randint(len(windows), (self.batch,)).tolist()])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            return encoder.eval()(self.features, own)

    def score(self, rows: Tensor, hidden: Tensor, origins: np.ndarray) -> MetricSums:
        """The errors in the windows of `origins` where the rows of `hidden` series are those given."""
        table = torch.where(hidden[:, None], rows, self.trained)
        with torch.inference_mode():
            return backtest(lambda batch: self._forecast(table, batch), self._windows(origins), self.batch)

    def _windows(self, origins: np.ndarray) -> WindowDataset:
        return WindowDataset(self.panel, self.fitted.info.calendar, origins, self.fitted.reach)

    def _forecast(self, rows: Tensor, batch: Batch) -> Tensor:
        given = {f"model.{name}": table for name, table in split(rows, self.tables).items()}
        return functional_call(self.fitted.module, given, (batch,))

    def _loss(self, rows: Tensor, batch: Batch) -> Tensor:
        """The mean absolute error of all series, each in its own scale: new series are not to disturb the others."""
        counted = batch.target_mask & self.usable[:, None]
        error = (self._forecast(rows, batch) - batch.target).abs() / self.fitted.module.std
        return torch.where(counted, error, 0).sum() / counted.sum().clamp_min(1)


def tables_of(model: nn.Module) -> dict[str, Tensor]:
    """What has one row a series, by name."""
    state = model.state_dict()
    return {name: state[name] for name in per_series_names(model)}


def split(rows: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tables of joined rows (N, K)."""
    parts = rows.split([table[0].numel() for table in like.values()], dim=1)
    return {name: part.reshape(-1, *like[name].shape[1:]) for name, part in zip(like, parts, strict=True)}
