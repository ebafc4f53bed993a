"""ScaledModel: a model on batches in the units of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from elinformer._shapes import Float
from elinformer.batch import COVARIATES
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elinformer.batch import Batch


class ScaledModel(nn.Module):
    """A model between a scaler and its inverse: batches and outputs are in the units of the data.

    It is a chain of `embed`, `blocks` and `head` where its model is one.

    Args:
        model: Takes and gives scaled numbers.
        mean: (N, C) of every series and channel.
        std: (N, C), above 0.

    Attributes:
        model: The model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Any, std: Any) -> None:
        super().__init__()
        self.model = model
        for name, array in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(np.asarray(array), dtype=torch.float32), persistent=False)

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row a series, None where the model does not name its own."""
        named = getattr(self.model, "per_series", None)
        return None if named is None else ("mean", "std", *(f"model.{name}" for name in named))

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Blocks of the model."""
        return self.model.blocks  # pyright: ignore[reportReturnType]

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the steps after the window.

        Raises:
            InputError: Covariates that the model does not use.
        """
        _refuse_unused(self.model, batch)
        return self._unscaled(self.model(self._scaled(batch)), batch)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return tokens and key mask of the model."""
        _refuse_unused(self.model, batch)
        return self.model.embed(self._scaled(batch))  # pyright: ignore[reportCallIssue]

    def head(self, x: Tensor, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Map the tokens after the last block to outputs."""
        return self._unscaled(self.model.head(x, self._scaled(batch)), batch)  # pyright: ignore[reportCallIssue]

    def _scaled(self, batch: Batch) -> Batch:
        mean, std = self._of(batch)
        return batch._replace(values=(batch.values - mean) / std)

    def _unscaled(self, outputs: Tensor, batch: Batch) -> Tensor:
        mean, std = self._of(batch)
        return outputs * std[..., None] + mean[..., None]

    def _of(self, batch: Batch) -> tuple[Tensor, Tensor]:
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
