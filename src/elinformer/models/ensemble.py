"""Ensemble: several models of the same kind, trained from different seeds, whose outputs are averaged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from elinformer._shapes import Float
    from elinformer.batch import Batch
    from elinformer.models.scaled import ScaledModel

MEMBER = re.compile(r"members\.(\d+)\.")
"""Beginning of the names of the weights of a member."""


class Ensemble(nn.Module):
    """Models of the same kind and sizes, side by side. `ScaledEnsemble` averages their outputs.

    Args:
        members: The models.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row for each series; None if the members do not declare theirs."""
        names = getattr(self.members[0], "per_series", None)
        if names is None:
            return None
        return tuple(f"members.{i}.{name}" for i in range(len(self.members)) for name in names)

    @property
    def tokens_per_window(self) -> int | None:
        """Number of tokens of a window of a member: they are computed one after the other."""
        return getattr(self.members[0], "tokens_per_window", None)


class ScaledEnsemble(nn.Module):
    """Mean of the outputs of an ensemble in the units of the data: of the medians, and of the quantiles by level.

    Args:
        model: The ensemble.
        scale: Function from a member to the `ScaledModel` of it.

    Attributes:
        model: The ensemble.
        parts: The members in the units of the data.
    """

    model: Ensemble

    def __init__(self, model: Ensemble, scale: Callable[[nn.Module], ScaledModel]) -> None:
        super().__init__()
        object.__setattr__(self, "model", model)  # its weights are in the parts, and have one path alone
        self.parts = nn.ModuleList(scale(member) for member in model.members)

    @property
    def mean(self) -> Tensor:
        """Mean (N, C) of every series and channel in training."""
        return self._first.mean

    @property
    def std(self) -> Tensor:
        """Standard deviation (N, C) of every series and channel."""
        return self._first.std

    @property
    def scales_windows(self) -> bool:
        """True if each window is scaled by its own level and deviation."""
        return self._first.scales_windows

    @staticmethod
    def path_of(name: str) -> str:
        """Return the path from here to a tensor that has this name in the ensemble."""
        return MEMBER.sub(r"parts.\1.model.", name)

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the steps after the window."""
        return mean_outputs(part(batch) for part in self.parts)

    @property
    def _first(self) -> Any:
        return self.parts[0]


def mean_outputs(outputs: Iterable[Tensor]) -> Tensor:
    """Return the mean of outputs (B, S, N, C, K)."""
    return torch.stack([*outputs]).mean(0)


def n_members(names: Iterable[str]) -> int:
    """Return the number of members that weights with these names have; 0 for those of a single model."""
    return len({found[1] for name in names if (found := MEMBER.match(name))})
