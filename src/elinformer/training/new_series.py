"""Series that training never saw: their scale and their rows in the tables of the model, all weights as they are.

What that is worth is measured first: on the last fifth of their history, with rows from the part before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from elinformer.data.given import described
from elinformer.data.part import part_of
from elinformer.data.profile import history_profile, principal_components, static_features
from elinformer.data.scaling import Scaler, measure
from elinformer.data.windows import window_origins
from elinformer.errors import InputError
from elinformer.evaluation import naives_for, score_naive
from elinformer.training.module import ForecastModule
from elinformer.training.new_rows import NewRows, split, tables_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import ScalePer
    from elinformer.data.series_info import SeriesInfo
    from elinformer.data.windows import Reach
    from elinformer.training.fitted import Fitted, NewModel

STEPS = 300
"""Steps of gradient that a search takes where nothing else is said."""
JUDGED = 0.2
"""Share of the history, its last part, that errors are measured on."""
WINDOWS = 128
"""Windows of it, at most."""
FOLDS = 5
"""Parts in which the series of training are left out in turn."""


@dataclass(frozen=True)
class AddedSeries:
    """What was added, and which MAE is to be expected of it, in the data's units.

    Attributes:
        series: Names.
        mae: Theirs on the last fifth of their history, with embeddings from the history before it.
        naive: That of the naive forecasts of the same windows, by name.
        left_out: That of the series of training on these windows, a fifth of them in turn without their embeddings,
            which are found again like those of the new series. The weights have seen these series, so that it is
            the friendlier estimate.
        trained: That of the series of training with their own embeddings.
    """

    series: tuple[str, ...]
    mae: float
    naive: dict[str, float]
    left_out: float
    trained: float

    def to_document(self) -> dict[str, Any]:
        """For JSON, which knows no NaN: None stands for an error where nothing was observed."""
        mae, left_out, trained = (_known(error) for error in (self.mae, self.left_out, self.trained))
        naive = {name: _known(error) for name, error in self.naive.items()}
        return {"series": list(self.series), "mae": mae, "naive": naive, "left_out": left_out, "trained": trained}


def _known(error: float) -> float | None:
    return None if math.isnan(error) else error


def with_new_series(
    fitted: Fitted,
    given: Panel,
    new_model: NewModel,
    *,
    scale_per: ScalePer,
    features: Any | None = None,
    steps: int = STEPS,
) -> Fitted:
    """What was trained, and the series of `given` that it does not know; arguments as in `Forecaster.add_series`."""
    if steps < 1:
        raise InputError(f"expected at least one step, got steps={steps}")
    new = fitted.info.unknown(given)
    if not new:
        raise InputError(f"expected series that training did not have, but all {given.n_series} are known: add others")
    info = fitted.info.with_series(new)
    panel = info.align(given)
    least = _least_history(panel, fitted.reach)
    _check_new(panel, len(new), least)
    panel = _since_first_seen(panel, len(new))
    usable = _observed_steps(panel) >= least
    if not usable[: -len(new)].any():
        raise InputError(
            "expected series of training beside the new ones, to learn from what they look like, got none with "
            f"{least} observed steps since the first of a new one: pass the history of both"
        )
    wide = _widened(fitted, info, _scaler(fitted, panel, scale_per), new_model)
    static = _static(given, info.series, usable, features)
    with isolate_rng():
        torch.manual_seed(wide.module.config.seed)
        added = _add(wide, panel, len(new), usable, static, steps=steps)
    return wide._replace(data=described(given), added=added.to_document())


def _add(
    wide: Fitted, panel: Panel, n_new: int, usable: np.ndarray, static: Sequence[np.ndarray], *, steps: int
) -> AddedSeries:
    """Measure, then find the rows of the new series from their whole history and put them into the model."""
    is_new = torch.arange(panel.n_series) >= panel.n_series - n_new
    stop = panel.n_steps - _judged_steps(panel, n_new, wide.reach)

    def rows_from(stop: int) -> tuple[NewRows, Tensor]:
        features = _features(part_of(panel, steps=slice(stop)), wide.scaler, usable, static)
        search = NewRows(wide, panel, features, is_new, torch.from_numpy(usable))
        return search, search.find(window_origins((0, stop), wide.reach), steps)

    wide.module.requires_grad_(False)
    origins = window_origins((stop, panel.n_steps), wide.reach)
    added = _judge(*rows_from(stop), origins[:: -(-len(origins) // WINDOWS)], stop)
    _, rows = rows_from(panel.n_steps)
    tables = tables_of(wide.model)
    with torch.no_grad():
        for name, table in split(rows, tables).items():
            tables[name][is_new] = table[is_new]
    wide.module.requires_grad_(True)
    return added


def _judge(search: NewRows, rows: Tensor, origins: np.ndarray, stop: int) -> AddedSeries:
    panel, new = search.panel, search.is_new
    known = search.usable & ~new
    own = search.score(rows, new, origins)
    absolute, count = 0.0, 0
    for fold in range(FOLDS):
        hidden = known & (torch.arange(len(new)) % FOLDS == fold)
        sums = search.score(rows, hidden | new, origins)
        absolute, count = absolute + float(sums.absolute[:, hidden].sum()), count + int(sums.count[:, hidden].sum())
    only_new = part_of(panel, new.numpy())
    naive = {
        each.name: score_naive(each, only_new, origins, search.fitted.reach.horizon, stop).scores().mae
        for each in naives_for(panel)
    }
    of_new, of_known = (own.scores(series=torch.where(which)[0].tolist()).mae for which in (new, known))
    return AddedSeries(only_new.series, of_new, naive, absolute / count if count else math.nan, of_known)


def _widened(fitted: Fitted, info: SeriesInfo, scaler: Scaler, new_model: NewModel) -> Fitted:
    """The same weights in a model of more series, whose new rows are zero."""
    with isolate_rng():
        model = new_model(info)
    weights = fitted.model.state_dict()
    if getattr(model, "per_series", None) is None:
        raise InputError(
            f"expected a model whose series come and go, but {type(model).__name__} does not say which of its "
            "parameters belong to series (`per_series`): train again"
        )
    n_new = len(info.series) - len(fitted.info.series)
    for name, table in tables_of(model).items():
        weights[name] = torch.cat([weights[name], table.new_zeros(n_new, *table.shape[1:])])
    _check_sizes(model, weights)
    model.load_state_dict(weights)
    module = ForecastModule(model, scaler, scaler.std, fitted.module.config)
    return fitted._replace(info=info, model=model, module=module.eval(), scaler=scaler, result=None)


def _check_sizes(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.shape != weights[name].shape:
            raise InputError(
                f"expected a model whose series come and go, but {name} of {type(model).__name__} depends on how many "
                "there are: train again"
            )


def _scaler(fitted: Fitted, panel: Panel, scale_per: ScalePer) -> Scaler:
    """That of training, and behind it the new series' own."""
    n_known = len(fitted.info.series)
    measured = Scaler.of(measure(panel.values, panel.mask))
    arrays = []
    for name in ("mean", "std"):
        old, new = getattr(fitted.scaler, name), getattr(measured, name)[n_known:]
        arrays.append(np.concatenate([old, new if scale_per == "series" else np.broadcast_to(old[:1], new.shape)]))
    return Scaler(*arrays)


def _features(panel: Panel, scaler: Scaler, usable: np.ndarray, static: Sequence[np.ndarray]) -> Tensor:
    """What is known of every series (N, F); zeros where it is of no use."""
    found = principal_components(history_profile(panel, scaler)[usable], *static)
    features = np.zeros((panel.n_series, found.shape[1]), np.float32)
    features[usable] = found
    return torch.from_numpy(features)


def _static(given: Panel, series: Sequence[str], usable: np.ndarray, features: Any | None) -> list[np.ndarray]:
    """Features and locations (n, F) of the series that are used, where there are some."""
    names = [name for name, used in zip(series, usable, strict=True) if used]
    static = [] if features is None else [static_features(features, names)]
    if given.locations is not None:
        place = {name: i for i, name in enumerate(given.series)}
        static.append(given.locations[[place[name] for name in names]])
    return static


def _since_first_seen(panel: Panel, n_new: int) -> Panel:
    """The steps from the first observation of a new series on: before it there is nothing to learn of them."""
    return panel.last_steps(panel.n_steps - int(_first_seen(panel)[-n_new:].min()))


def _first_seen(panel: Panel) -> np.ndarray:
    """(N,) the step of the first observation, that after the last where there is none."""
    seen = panel.mask.any(2)
    return np.where(seen.any(0), seen.argmax(0), panel.n_steps)


def _judged_steps(panel: Panel, n_new: int, reach: Reach) -> int:
    """How many steps errors are measured on: a fifth of what there is of the series that came last."""
    shortest = panel.n_steps - int(_first_seen(panel)[-n_new:].max())
    most = panel.n_steps - reach.history - reach.horizon  # one window to learn from is left
    return min(max(reach.horizon, round(JUDGED * shortest)), most)


def _least_history(panel: Panel, reach: Reach) -> int:
    """Observed steps that a series needs: a day, and windows both to learn from and to be judged on."""
    return max(panel.steps_of_day or 0, reach.history + 2 * reach.horizon)


def _check_new(panel: Panel, n_new: int, least: int) -> None:
    counts = _observed_steps(panel)[-n_new:]
    short = [name for name, count in zip(panel.series[-n_new:], counts, strict=True) if count < least]
    if short:
        raise InputError(
            f"expected at least {least} observed steps of a new series, but {', '.join(short[:5])} "
            f"{'have' if len(short) > 1 else 'has'} less ({len(short)} in all): add them when there is more"
        )


def _observed_steps(panel: Panel) -> np.ndarray:
    return np.count_nonzero(panel.mask.any(2), axis=0)
