"""ScaledModel: a model with the scaling of its inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from elinformer._shapes import Float
from elinformer.batch import COVARIATES
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from elinformer.batch import Batch


LIMIT = 6.0
"""Largest scaled covariate in a linear effect; what lies farther out is rather an error than a reason."""


class WindowScale(NamedTuple):
    """Scale of windows, in the units of training.

    Attributes:
        level: (B, 1, N, C), level of the values that a window reads.
        deviation: (B, 1, N, C), their deviation.
        effect: (B, T + S, N, C), linear effect of the future covariates, which is subtracted before the window is
            scaled; None without such covariates.
    """

    level: Tensor
    deviation: Tensor
    effect: Tensor | None = None


def window_scale(values: Tensor, mask: Tensor, window: int) -> WindowScale:
    """Measure the level and the deviation of windows.

    The level is the mean of the last `window` steps, or that of the lags where they are all missing. The deviation is
    that of window and lags together, combined with 1, the typical deviation in training: a quiet window can be followed
    by a large change. Without any observation the level is 0 and the deviation is that of training.

    Args:
        values: (B, T, N, C), lags and window without the means of seasons, scaled by training.
        mask: (B, T, N, C), True = observed.
        window: Steps after the lags.

    Source: Kim et al. 2022, Reversible Instance Normalization, for the idea.
    """
    observed = torch.where(mask, values, 0)
    count, recent_count = mask.sum(1, keepdim=True), mask[:, -window:].sum(1, keepdim=True)
    mean = observed.sum(1, keepdim=True) / count.clamp_min(1)
    variance = torch.where(mask, (values - mean) ** 2, 0).sum(1, keepdim=True) / count.clamp_min(1)
    recent = observed[:, -window:].sum(1, keepdim=True) / recent_count.clamp_min(1)
    level = torch.where(recent_count > 0, recent, mean)
    return WindowScale(level, ((torch.where(count > 1, variance, 1) + 1) / 2).sqrt())


def scaled_for_effects(future: Tensor) -> Tensor:
    """Return scaled covariates for a linear effect: 0 where they are missing, and no further out than `LIMIT`."""
    return future.nan_to_num().clamp(-LIMIT, LIMIT)


class ScaledModel(nn.Module):
    """Model that scales its inputs and unscales its outputs: both are in the units of the data.

    Values are scaled by mean and deviation of training. For a model with the attribute `scales_windows`, each window is
    then scaled by its own level and deviation, so that a level that drifts is no new input; the model gets both as
    `Batch.level`. If the model has `effects` (N, C, F), their sum over the future covariates is subtracted from values
    and targets first, and added to the outputs at last: the rest of the model sees what the covariates leave over. It
    is a chain of `embed`, `blocks` and `head` if the inner model is one.

    Args:
        model: A model with scaled inputs and outputs.
        mean: (N, C), the mean of every series and channel.
        std: (N, C), the standard deviation of every series and channel, above 0.
        arrange: Function from the K numbers that the model computes to the outputs, `Loss.arrange`; None = the same.
        covariates: Mean and standard deviation of covariates, (F,) each, by their field in `Batch`; others are not
            scaled.

    Attributes:
        model: The inner model.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Any,
        std: Any,
        arrange: Callable[[Tensor], Tensor] | None = None,
        *,
        covariates: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._arrange = arrange
        for name, array in (("mean", mean), ("std", std)):
            tensor = torch.as_tensor(np.asarray(array))
            tensor = tensor.clone() if tensor.dtype == torch.float64 else tensor.float()
            self.register_buffer(name, tensor, persistent=False)
        self.scaled_covariates = tuple(covariates or ())
        for name in self.scaled_covariates:
            for moment, numbers in zip(("mean", "std"), (covariates or {})[name], strict=True):
                self.register_buffer(f"{name}_{moment}", torch.tensor(numbers, dtype=torch.float32), persistent=False)

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row for each series; None if the model does not declare its own."""
        names = getattr(self.model, "per_series", None)
        return None if names is None else ("mean", "std", *(self.path_of(name) for name in names))

    @property
    def scales_windows(self) -> bool:
        """True if each window is scaled by its own level and deviation."""
        return getattr(self.model, "scales_windows", False)

    @staticmethod
    def path_of(name: str) -> str:
        """Return the path from here to a tensor that has this name in the inner model."""
        return f"model.{name}"

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Blocks of the model."""
        return self.model.blocks  # pyright: ignore[reportReturnType]

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the steps after the window.

        Raises:
            InputError: The batch has covariates that the model does not use.
        """
        _refuse_unused(self.model, batch)
        window = self._window_scale(batch)
        return self._unscale(self.model(self._scaled(batch, window)), batch, window)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the tokens and the key mask of the model."""
        _refuse_unused(self.model, batch)
        return self.model.embed(self.scale(batch))  # pyright: ignore[reportCallIssue]

    def head(self, x: Tensor, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Map the tokens after the last block to outputs."""
        window = self._window_scale(batch)
        return self._unscale(self.model.head(x, self._scaled(batch, window)), batch, window)  # pyright: ignore[reportCallIssue]

    def scale(self, batch: Batch) -> Batch:
        """Return a batch with scaled values, and scaled targets where it has targets."""
        return self._scaled(batch, self._window_scale(batch))

    def _scaled(self, batch: Batch, window: WindowScale | None) -> Batch:
        mean, std = self._mean_and_std(batch)
        covariates = {
            name: self.scaled_covariate(name, found)
            for name in self.scaled_covariates
            if (found := getattr(batch, name)) is not None
        }
        batch = batch._replace(**covariates)
        values = (batch.values - mean) / std
        target = None if batch.target is None else (batch.target - mean) / std
        if window is None:
            return batch._replace(values=values.to(self._dtype), target=target)
        level, deviation, effect = window
        if effect is not None:
            n_inputs = values.shape[1]
            values = values - effect[:, :n_inputs]
            target = None if target is None else target - effect[:, n_inputs:]
        return batch._replace(
            values=((values - level) / deviation).to(self._dtype),
            target=None if target is None else (target - level) / deviation,
            level=torch.cat((level.asinh(), deviation.log()), dim=-1)[:, 0].to(self._dtype),
        )

    def scaled_covariate(self, name: str, values: Tensor) -> Tensor:
        """Return covariates of a role in the scale of training."""
        if name not in self.scaled_covariates:
            return values
        mean, std = (getattr(self, f"{name}_{moment}") for moment in ("mean", "std"))
        return (values - mean) / std

    @property
    def _dtype(self) -> torch.dtype:
        """Type in which the model computes; values and outputs may be float64."""
        return next((p.dtype for p in self.model.parameters()), torch.float32)

    def _window_scale(self, batch: Batch) -> WindowScale | None:
        """Return the scales of the windows, in the units of training; None for a model without them."""
        if not self.scales_windows:
            return None
        mean, std = self._mean_and_std(batch)
        model: Any = self.model
        values, effect = (batch.values - mean) / std, self._effect(batch)
        rest = values if effect is None else values - effect[:, : values.shape[1]]
        read = slice(model.config.n_means * model.config.horizon, None)
        return window_scale(rest[:, read], batch.mask[:, read], model.config.window)._replace(effect=effect)

    def _effect(self, batch: Batch) -> Tensor | None:
        """Return the linear effect (B, T + S, N, C) of the future covariates, in the units of training."""
        effects: Tensor | None = getattr(self.model, "effects", None)
        if effects is None or batch.future is None:
            return None
        future = scaled_for_effects(self.scaled_covariate("future", batch.future))
        effects = effects if batch.series is None else effects[batch.series]
        return torch.einsum("btnf,ncf->btnc", future.expand(-1, -1, len(effects), -1), effects)

    def _unscale(self, raw: Tensor, batch: Batch, window: WindowScale | None) -> Tensor:
        shift, scale = self._mean_and_std(batch)
        outputs = raw if self._arrange is None else self._arrange(raw)
        if window is not None:
            level, deviation, effect = window
            level = level if effect is None else level + effect[:, -outputs.shape[1] :]
            shift, scale = level * scale + shift, deviation * scale
        return outputs * scale[..., None] + shift[..., None]

    def _mean_and_std(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (N, C) of the series of a batch."""
        return (self.mean, self.std) if batch.series is None else (self.mean[batch.series], self.std[batch.series])


def _refuse_unused(model: nn.Module, batch: Batch) -> None:
    """Refuse covariates that a model does not use, rather than ignore them.

    Raises:
        InputError: The batch has such covariates.
    """
    uses = getattr(model, "uses", ())
    unused = [name for name in COVARIATES if getattr(batch, name) is not None and name not in uses]
    if unused:
        raise InputError(
            f"expected no {' and '.join(unused)} covariates for {type(model).__name__}, which does not use them: leave "
            "them out, or choose another model"
        )
