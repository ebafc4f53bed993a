"""Multivariate models of NeuralForecast, trained by its code on the windows of this library.

NeuralForecast provides the network and its default sizes, the choice of windows in a training step, the loss (MAE) and
the optimiser. This library provides the split, the scaling, the number of steps and of windows in a step, the choice of
weights by validation, and the scores.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from elinformer._quiet import LIGHTNING, quiet
from elinformer.data.reach import Reach, chronological_split
from elinformer.data.scaling import Scaler
from elinformer.data.windows import SplitPanel
from elinformer.errors import InputError, MissingExtraError
from elinformer.models.inputs import forward_fill
from elinformer.training.config import TrainingConfig
from elinformer.training.fit import fit
from elinformer.training.module import ForecastModule
from elinformer.training.ranks.random_numbers import seeded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.training.callbacks import Callback
    from elinformer.training.fit import FitResult

PEERS = ("iTransformer", "SOFTS", "TSMixer", "TimeXer")
"""Names of the models, as NeuralForecast spells them."""

OPTIMISER_OPTIONS = (
    "learning_rate",
    "num_lr_decays",
    "optimizer",
    "optimizer_kwargs",
    "lr_scheduler",
    "lr_scheduler_kwargs",
)
"""Options besides those of the network. The length and the data of training are not options of a peer."""

MAX_PATCH = 16
"""Default patch length of TimeXer. TimeXer ignores the rest of a window that is not a multiple of it."""


class PeerForecaster:
    """Forecaster with a model of NeuralForecast.

    A peer trains for as many steps of as many windows as the models of this library, and has the same validation. It
    takes every channel of every series as a series. It has no calendar, and its input has no gaps.

    Args:
        name: One of `PEERS`.
        window: T, number of input steps.
        horizon: S, number of output steps.
        split: Fractions of the steps for training, validation (which selects the weights) and test.
        training: Options of training. Its learning rate and weight decay do not apply to a peer.
        options: Options of the model: the sizes of its network, and those in `OPTIMISER_OPTIONS`.

    Raises:
        InputError: A setting cannot be used.
        MissingExtraError: NeuralForecast is not installed.
    """

    def __init__(
        self,
        name: str,
        window: int = 12,
        horizon: int = 12,
        *,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        training: TrainingConfig | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if name not in PEERS:
            raise InputError(f"expected a peer out of {', '.join(PEERS)}, got {name!r}")
        chronological_split(1, split)
        self.name, self.reach, self.split = name, Reach(window, horizon), tuple(split)
        self.training, self.options = training or TrainingConfig(), dict(options or {})
        if self.training.seed >= 1 << 32:
            raise InputError(f"expected a seed below 2**32, for NeuralForecast, got {self.training.seed}")
        if name == "TimeXer":
            _check_patch(self.options.get("patch_len", 1), window)
        if importlib.util.find_spec("neuralforecast") is None:
            raise MissingExtraError(f'{name} needs NeuralForecast: pip install "elinformer[peers]"')
        self._fitted: tuple[_PeerModule, FitResult] | None = None

    def fit(
        self, panel: Panel, console: Console | None = None, *, callbacks: Sequence[Callback] = ()
    ) -> PeerForecaster:
        """Train on the training steps, and keep the weights with the lowest validation error.

        Args:
            panel: The data.
            console: Console of the progress bar; standard error by default.
            callbacks: Callbacks of Lightning.

        Raises:
            InputError: The panel is too short, the model does not have an option, or training diverges.
        """
        data, n_series = SplitPanel.of(panel, self.split, self.reach), panel.n_series * panel.n_channels
        scale = data.error_scale(self.training.loss_scale)
        scaler = Scaler(data.scaler("series").mean, scale)  # so that the MAE of NeuralForecast is our loss
        n_windows = len(data.origins("train"))
        with seeded(self.training.seed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*`self.trainer` reference is not registered.*")
            training_data: Any = _TrainingSteps(panel, data.split.train[1], scaler, n_windows)
            network = PeerNetwork(self._new_model(n_series, n_windows))
            module = _PeerModule(network, scaler, scale, self.training)
            result = fit(
                module,
                training_data,
                data.windows("validation", None),
                tokens_per_window=n_series,
                console=console,
                callbacks=callbacks,
            )
        self._fitted = module.eval(), result
        return self

    def forecast(self, batch: Batch) -> Tensor:
        """Return the point forecast (B, S, N, C) for a batch, both in the units of the data."""
        return self.module.loss.point(self.module(batch))

    @property
    def module(self) -> ForecastModule:
        """Trained module.

        Raises:
            InputError: `fit` was not called.
        """
        return self._trained()[0]

    @property
    def batch_size(self) -> int:
        """Number of windows that are forecast together."""
        return max(1, self.training.tokens_at_once // self.module.error_scale.numel())

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    @property
    def fit_result(self) -> FitResult:
        """Result of the training."""
        return self._trained()[1]

    def _trained(self) -> tuple[ForecastModule, FitResult]:
        if self._fitted is None:
            raise InputError("expected a trained forecaster: call fit(...) first")
        return self._fitted

    def _new_model(self, n_series: int, n_windows: int) -> Any:
        from neuralforecast import models  # pyright: ignore[reportMissingImports]
        from neuralforecast.losses.pytorch import MAE  # pyright: ignore[reportMissingImports]

        model, training, window = getattr(models, self.name), self.training, self.reach.window
        _check_options(self.options, model)
        defaults: dict[str, Any] = {"patch_len": _longest_patch(window)} if self.name == "TimeXer" else {}
        budget = training.budget(n_windows, n_series)
        n_steps = budget.epochs * (budget.steps_per_epoch or math.ceil(n_windows / budget.batch_size))
        with quiet(*LIGHTNING):  # every model logs its seed
            return model(
                h=self.reach.horizon,
                input_size=window,
                n_series=n_series,
                loss=MAE(),  # the default is one module that all models share
                max_steps=n_steps,
                windows_batch_size=math.ceil(budget.batch_size / training.micro_batches(budget.batch_size, n_series)),
                random_seed=training.seed,
                **defaults | self.options,
            )


class PeerNetwork(nn.Module):
    """Model of NeuralForecast with the `forward` of a model of this library.

    Args:
        model: A model that takes `insample_y` (B, T, N C) and returns (B, S, N C).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Return the scaled forecast (B, S, N, C, 1).

        A gap is filled with the last value before it in the window, at the start of the window with the next value,
        and with 0 if nothing was observed.
        """
        values, mask = batch.values, batch.mask
        before, after = forward_fill(values, mask), forward_fill(values.flip(1), mask.flip(1)).flip(1)
        filled = torch.where(mask.cummax(1).values, before, after).flatten(2)
        unused = dict.fromkeys(("futr_exog", "hist_exog", "stat_exog"))
        forecast = self.model({"insample_y": filled, "insample_mask": mask.flatten(2).float(), **unused})
        return forecast.unflatten(2, (*values.shape[2:], 1))


class _PeerModule(ForecastModule):
    """Module with the validation of this library, and the training step of NeuralForecast."""

    def training_step(self, batch: Any, _: int) -> Tensor:
        """Return the loss of NeuralForecast on windows that it draws from the training steps."""
        with self.mixed_precision():
            loss = self._peer.training_step(batch, _)
        self.log("loss", loss.detach(), batch_size=1)
        return loss

    def configure_optimizers(self) -> Any:
        """Return the optimiser and the schedule of NeuralForecast: by default Adam, and a constant rate."""
        return self._peer.configure_optimizers()

    @property
    def _peer(self) -> Any:
        return self.model.model


class _TrainingSteps(Dataset[Any]):
    """Training steps in the format of NeuralForecast's loader. Every batch has all steps, and windows are drawn later.

    An epoch has as many batches as one of `n_windows` windows.
    """

    def __init__(self, panel: Panel, end: int, scaler: Scaler, n_windows: int) -> None:
        from neuralforecast.tsdataset import (  # pyright: ignore[reportMissingImports]
            TimeSeriesDataset,
            TimeSeriesLoader,
        )

        values, mask = ((panel.values[:end] - scaler.mean) / scaler.std, panel.mask[:end])
        filled = forward_fill(*(torch.from_numpy(x)[None] for x in (values, mask)))[0].numpy()
        columns = np.stack([filled, mask], -1).reshape(end, -1, 2)  # (T, N C, 2)
        n_series = columns.shape[1]
        data = TimeSeriesDataset(
            columns.swapaxes(0, 1).reshape(-1, 2),
            temporal_cols=["y", "available_mask"],
            indptr=np.arange(n_series + 1) * end,
            y_idx=0,
        )
        # The data module of NeuralForecast shuffles the series in every step, although TSMixer and TimeXer identify a
        # series by its position (https://github.com/Nixtla/neuralforecast/pull/907 removed this, 3.0 has it again).
        self.batch = next(iter(TimeSeriesLoader(data, batch_size=n_series, shuffle=False)))
        self.n_windows = n_windows

    def __len__(self) -> int:
        return self.n_windows

    def __getitem__(self, indices: Sequence[int]) -> Any:
        return self.batch


def _check_options(options: Mapping[str, Any], model: type) -> None:
    """Refuse options that are neither of the network nor of the optimiser."""
    base = inspect.signature(model.__mro__[1]).parameters
    allowed = [*(name for name in inspect.signature(model).parameters if name not in base), *OPTIMISER_OPTIONS]
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise InputError(f"expected options of {model.__name__} out of {', '.join(allowed)}, got {', '.join(unknown)}")


def _check_patch(length: Any, window: int) -> None:
    if not isinstance(length, int) or not 1 <= length <= window:
        raise InputError(f"expected patch_len from 1 to window={window} steps, got {length!r}: shorten the patches")


def _longest_patch(window: int) -> int:
    return next(n for n in range(min(MAX_PATCH, window), 0, -1) if window % n == 0)
