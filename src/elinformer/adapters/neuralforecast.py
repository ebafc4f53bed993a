"""Multivariate models of NeuralForecast, trained by its own code on our windows.

Theirs: the network and its default sizes, which windows a step draws from the training part, the loss (MAE) and the
optimiser. Ours: the parts, the scaling, how many steps of how many windows, which weights are kept, and the scores.
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
from elinformer.data.scaling import Scaler
from elinformer.data.windows import Reach, SplitPanel, chronological_split
from elinformer.errors import InputError, MissingExtraError
from elinformer.models.inputs import filled_forward
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

OPTIMISER = ("learning_rate", "num_lr_decays", "optimizer", "optimizer_kwargs", "lr_scheduler", "lr_scheduler_kwargs")
"""Options beside those of the network. For how long and on what a peer trains is not its own to say."""

LONGEST_PATCH = 16
"""TimeXer's default, and its rest is lost where the window is no multiple of it."""


class PeerForecaster:
    """Trains a model of NeuralForecast on a panel; a function from a batch to its forecast, in the data's units.

    It takes as many steps as our models, of as many windows, and is validated as they are. The channels of a series
    are series of their own to it. It knows no calendar, and sees gaps filled.

    Args:
        name: One of `PEERS`.
        window: Input steps.
        horizon: Output steps.
        split: Fractions of the steps for training, validation (which weights are kept) and test.
        training: Its learning rate and weight decay are for our models: a peer has its own.
        options: Arguments of the model: the sizes of its network, `learning_rate`.

    Raises:
        InputError: Settings that cannot be.
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
            raise InputError(f"expected a seed below 2**32, as NeuralForecast needs it, got {self.training.seed}")
        if name == "TimeXer":
            _check_patch(self.options.get("patch_len", 1), window)
        if importlib.util.find_spec("neuralforecast") is None:
            raise MissingExtraError(f'{name} needs NeuralForecast: pip install "elinformer[peers]"')
        self._fitted: tuple[_PeerModule, FitResult] | None = None

    def fit(
        self, panel: Panel, console: Console | None = None, *, callbacks: Sequence[Callback] = ()
    ) -> PeerForecaster:
        """Train on the first part of the steps, and keep the weights that do best on the second.

        Args:
            panel: The data.
            console: Where the progress bar goes; standard error by default.
            callbacks: Others of Lightning's that watch the training.

        Raises:
            InputError: The panel is too short, an option is none of the model's, or training diverges.
        """
        data, n_series = SplitPanel.of(panel, self.split, self.reach), panel.n_series * panel.n_channels
        scale = data.error_scale(self.training.loss_scale)
        scaler = Scaler(data.scaler("series").mean, scale)  # their MAE is the mean error in these units: our loss
        n_windows = len(data.origins("train"))
        with seeded(self.training.seed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*`self.trainer` reference is not registered.*")  # their logs
            drawn: Any = _TrainingPart(panel, data.split.train[1], scaler, n_windows)
            network = PeerNetwork(self._new_model(n_series, n_windows))
            module = _PeerModule(network, scaler, scale, self.training)
            result = fit(
                module,
                drawn,
                data.windows("validation", None),
                tokens_per_window=n_series,
                console=console,
                callbacks=callbacks,
            )
        self._fitted = module.eval(), result
        return self

    def forecast(self, batch: Batch) -> Tensor:
        """Return the forecast (B, S, N, C) for a batch of windows, both in the units of the data."""
        return self.module.loss.point(self.module(batch))

    @property
    def module(self) -> ForecastModule:
        """The trained module."""
        return self._trained()[0]

    @property
    def batch_size(self) -> int:
        """Windows that are forecast together."""
        return max(1, self.training.tokens_at_once // self.module.error_scale.numel())

    @property
    def n_parameters(self) -> int:
        """Trainable numbers of the model."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    @property
    def fit_result(self) -> FitResult:
        """How training went."""
        return self._trained()[1]

    def _trained(self) -> tuple[ForecastModule, FitResult]:
        if self._fitted is None:
            raise InputError("expected a trained forecaster: call fit(...) first")
        return self._fitted

    def _new_model(self, n_series: int, n_windows: int) -> Any:
        from neuralforecast import models  # pyright: ignore[reportMissingImports]
        from neuralforecast.losses.pytorch import MAE  # pyright: ignore[reportMissingImports]

        kind, training, window = getattr(models, self.name), self.training, self.reach.window
        defaults: dict[str, Any] = {"patch_len": _longest_patch(window)} if self.name == "TimeXer" else {}
        options = defaults | dict(_checked(self.options, kind))
        with quiet(*LIGHTNING):  # every model tells its seed
            return kind(
                h=self.reach.horizon,
                input_size=window,
                n_series=n_series,
                loss=MAE(),  # their default is one module that all of their models share
                max_steps=training.epochs * math.ceil(n_windows / training.batch_size),
                windows_batch_size=math.ceil(training.batch_size / training.micro_batches(n_series)),
                random_seed=training.seed,
                **options,
            )


class PeerNetwork(nn.Module):
    """A model of NeuralForecast with the forward of ours.

    Args:
        model: Takes `insample_y` (B, T, N C) and gives (B, S, N C).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Forecast (B, S, N, C, 1), scaled.

        A gap is filled with what was observed before it in the window, at its beginning with what was observed next,
        and with 0 where nothing was.
        """
        values, mask = batch.values, batch.mask
        before, after = filled_forward(values, mask), filled_forward(values.flip(1), mask.flip(1)).flip(1)
        filled = torch.where(mask.cummax(1).values, before, after).flatten(2)
        unused = dict.fromkeys(("futr_exog", "hist_exog", "stat_exog"))
        forecast = self.model({"insample_y": filled, "insample_mask": mask.flatten(2).float(), **unused})
        return forecast.unflatten(2, (*values.shape[2:], 1))


class _PeerModule(ForecastModule):
    """Validated and used as any model of ours, but trained as NeuralForecast says."""

    def training_step(self, batch: Any, _: int) -> Tensor:
        """Their loss on windows that they draw from the training part."""
        with self.mixed_precision():
            loss = self._peer.training_step(batch, _)
        self.log("loss", loss.detach(), batch_size=1)
        return loss

    def configure_optimizers(self) -> Any:
        """Their optimiser, Adam, and their schedule, which is constant by default."""
        return self._peer.configure_optimizers()

    @property
    def _peer(self) -> Any:
        return self.model.model


class _TrainingPart(Dataset[Any]):
    """The training steps as NeuralForecast's loader gives them: all of them in every batch, to draw windows from.

    As many batches make an epoch as of `n_windows` windows.
    """

    def __init__(self, panel: Panel, end: int, scaler: Scaler, n_windows: int) -> None:
        from neuralforecast.tsdataset import (  # pyright: ignore[reportMissingImports]
            TimeSeriesDataset,
            TimeSeriesLoader,
        )

        values, mask = ((panel.values[:end] - scaler.mean) / scaler.std, panel.mask[:end])
        filled = filled_forward(*(torch.from_numpy(x)[None] for x in (values, mask)))[0].numpy()
        columns = np.stack([filled, mask], -1).reshape(end, -1, 2)  # (T, N C, 2)
        n_series = columns.shape[1]
        data = TimeSeriesDataset(
            columns.swapaxes(0, 1).reshape(-1, 2),
            temporal_cols=["y", "available_mask"],
            indptr=np.arange(n_series + 1) * end,
            y_idx=0,
        )
        # Their own data module draws a new order of the series in every step, which TSMixer and TimeXer know by place
        # (taken out once, https://github.com/Nixtla/neuralforecast/pull/907, but back in 3.0).
        self.batch = next(iter(TimeSeriesLoader(data, batch_size=n_series, shuffle=False)))
        self.n_windows = n_windows

    def __len__(self) -> int:
        return self.n_windows

    def __getitem__(self, indices: Sequence[int]) -> Any:
        return self.batch


def _checked(options: Mapping[str, Any], kind: type) -> Mapping[str, Any]:
    """Options that are of the network or the optimiser: those that NeuralForecast's base class does not have."""
    shared = inspect.signature(kind.__mro__[1]).parameters
    known = [*(name for name in inspect.signature(kind).parameters if name not in shared), *OPTIMISER]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"expected options of {kind.__name__} out of {', '.join(known)}, got {', '.join(unknown)}")
    return options


def _check_patch(length: Any, window: int) -> None:
    if not isinstance(length, int) or not 1 <= length <= window:
        raise InputError(f"expected patch_len from 1 to window={window} steps, got {length!r}: shorten the patches")


def _longest_patch(window: int) -> int:
    return next(n for n in range(min(LONGEST_PATCH, window), 0, -1) if window % n == 0)
