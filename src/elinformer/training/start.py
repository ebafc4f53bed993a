"""Start of a training: the untrained model is the best weighted sum of earlier values, by least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from elinformer.data.pieces import affordable
from elinformer.evaluation import targets_of
from elinformer.models.inputs import earlier_of, n_read

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.models.scaled import ScaledModel

MAX_WINDOWS = 300
"""Windows that the sum is fitted to, at most."""
MAX_TOKENS = 40_000
"""Series times windows that it is fitted to, where this is at least `MIN_WINDOWS`."""
MIN_WINDOWS = 16
RIDGE = 0.05
"""Penalty of weights that differ from the best single lag, in units of the mean square of the lags."""
LIMIT = 6.0
"""Largest scaled value; a larger one is replaced by it, since squares give outliers too much weight."""


def start_from_simple_forecast(scaled: ScaledModel, windows: WindowDataset) -> None:
    """Set the initial forecast of a model that has `start_from`.

    Args:
        scaled: The model, with its scaling.
        windows: Training windows.
    """
    start_from = getattr(scaled.model, "start_from", None)
    if start_from is not None:
        start_from(simple_weights(scaled, windows))


def fitted_windows(windows: WindowDataset, n_series: int) -> list[int]:
    """Return the numbers of the windows that are fitted to, in the order of time."""
    sizes = {"cost": n_series, "budget": MAX_TOKENS, "least": MIN_WINDOWS, "most": MAX_WINDOWS}
    return affordable(len(windows), **sizes).tolist()


@torch.no_grad()
def simple_weights(scaled: ScaledModel, windows: WindowDataset) -> Tensor:
    """Return weights (S, n_lags + 2): ridge regression of the scaled targets, shrunk towards the best single lag."""
    config: Any = scaled.model.config
    n = n_read(config.n_lags)
    products, matches = (torch.zeros(config.horizon, *shape, dtype=torch.float64) for shape in ((n, n), (n,)))
    errors = torch.zeros(n, dtype=torch.float64)
    for index in fitted_windows(windows, config.n_series):
        batch: Batch = scaled.scale(windows[[index]])
        target, mask = targets_of(batch)
        earlier = earlier_of(batch, config.n_seasonal, config.horizon)[0, -n:]
        x = torch.where(mask, earlier.clamp(-LIMIT, LIMIT), 0).double()
        y = torch.where(mask, target.clamp(-LIMIT, LIMIT), 0)[0].double()
        products += torch.einsum("lsnc,ksnc->slk", x, x)
        matches += torch.einsum("lsnc,snc->sl", x, y)
        errors += (x - y).abs().sum((1, 2, 3))
    best = torch.nn.functional.one_hot(errors.argmin(), n).double()
    size = products.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-9)
    penalty = RIDGE * size[:, None, None] * torch.eye(n, dtype=torch.float64)
    return torch.linalg.solve(products + penalty, matches + penalty @ best).float()
