"""ScaledModel: a model with the scaling of its inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from elinformer._shapes import Float
from elinformer.batch import COVARIATES
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from elinformer.batch import Batch


class ScaledModel(nn.Module):
    """Model that scales its inputs and unscales its outputs: both are in the units of the data.

    It is a chain of `embed`, `blocks` and `head` if the inner model is one.

    Args:
        model: A model with scaled inputs and outputs.
        mean: (N, C), the mean of every series and channel.
        std: (N, C), the standard deviation of every series and channel, above 0.
        arrange: Function from the K numbers that the model computes to the outputs, `Loss.arrange`; None = the same.

    Attributes:
        model: The inner model.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, mean: Any, std: Any, arrange: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self._arrange = arrange
        for name, array in (("mean", mean), ("std", std)):
            tensor = torch.as_tensor(np.asarray(array))
            tensor = tensor.clone() if tensor.dtype == torch.float64 else tensor.float()
            self.register_buffer(name, tensor, persistent=False)

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row for each series; None if the model does not declare its own."""
        names = getattr(self.model, "per_series", None)
        return None if names is None else ("mean", "std", *(f"model.{name}" for name in names))

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
        return self._unscale(self.model(self._scale(batch)), batch)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the tokens and the key mask of the model."""
        _refuse_unused(self.model, batch)
        return self.model.embed(self._scale(batch))  # pyright: ignore[reportCallIssue]

    def head(self, x: Tensor, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Map the tokens after the last block to outputs."""
        return self._unscale(self.model.head(x, self._scale(batch)), batch)  # pyright: ignore[reportCallIssue]

    def _scale(self, batch: Batch) -> Batch:
        mean, std = self._mean_and_std(batch)
        return batch._replace(values=((batch.values - mean) / std).to(self._dtype))

    @property
    def _dtype(self) -> torch.dtype:
        """Type in which the model computes; values and outputs may be float64."""
        return next((p.dtype for p in self.model.parameters()), torch.float32)

    def _unscale(self, raw: Tensor, batch: Batch) -> Tensor:
        mean, std = self._mean_and_std(batch)
        arranged = raw if self._arrange is None else self._arrange(raw)
        return arranged * std[..., None] + mean[..., None]

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
