"""Series that training never saw: their scale and their rows in the tables of the model, with all weights as they are.

An encoder computes the row of a series from its features. It learns that by the forecast error of the frozen model,
from series of training whose rows are hidden at random, half of them in every step; new series are always hidden. A
hidden series adds a correction of its own to the encoder's row, which follows the same gradient: with much history it
corrects the encoder, with little it stays near zero.

The errors to expect are measured first: on the last fifth of the history, with rows from the part before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from elinformer.data.covariates import static_features
from elinformer.data.panel import data_description
from elinformer.data.profile import history_profile, principal_components
from elinformer.data.scaling import Scaler, measure
from elinformer.data.windows import WindowDataset, window_origins
from elinformer.errors import InputError
from elinformer.evaluation import MetricSums, backtest, naives_for, score_naive, targets_of
from elinformer.nn.embeddings import SeriesEncoder
from elinformer.trained_model import new_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import ScalePer
    from elinformer.data.series_info import SeriesInfo
    from elinformer.data.windows import Reach
    from elinformer.trained_model import TrainedModel

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
    trained: TrainedModel,
    given: Panel,
    *,
    scale_per: ScalePer,
    features: Any | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> TrainedModel:
    """What was trained, and the series of `given` that it does not know; arguments as in `Forecaster.add_series`."""
    if steps < 1:
        raise InputError(f"expected at least one step, got steps={steps}")
    new = trained.info.new_series(given)
    if not new:
        raise InputError(f"expected series that training did not have, but all {given.n_series} are known: add others")
    info = trained.info.with_series(new)
    panel = info.align(given)
    least = _least_history(panel, trained.reach)
    _check_new(panel, len(new), least)
    panel = _since_first_seen(panel, len(new))
    usable = _observed_steps(panel) >= least
    if not usable[: -len(new)].any():
        raise InputError(
            "expected series of training beside the new ones, to learn from what they look like, got none with "
            f"{least} observed steps since the first of a new one: pass the history of both"
        )
    wide = _widened(trained, info, _scaler(trained, panel, scale_per))
    static = _static(given, info.series, usable, features)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        added = _add(wide, panel, len(new), usable, static, steps=steps)
    return wide.replaced(data=data_description(given), added=added.to_document())


def _add(
    wide: TrainedModel, panel: Panel, n_new: int, usable: np.ndarray, static: Sequence[np.ndarray], *, steps: int
) -> AddedSeries:
    """Measure, then find the rows of the new series from their whole history and put them into the model."""
    is_new = torch.arange(panel.n_series) >= panel.n_series - n_new
    stop = panel.n_steps - _judged_steps(panel, n_new, wide.reach)

    def rows_from(stop: int) -> tuple[NewRows, Tensor]:
        features = _features(panel.select(steps=slice(stop)), wide.scaler, usable, static)
        search = NewRows(wide, panel, features, is_new, torch.from_numpy(usable))
        return search, search.find(window_origins((0, stop), wide.reach), steps)

    wide.scaled.requires_grad_(False)
    origins = window_origins((stop, panel.n_steps), wide.reach)
    added = _judge(*rows_from(stop), origins[:: -(-len(origins) // WINDOWS)], stop)
    _, rows = rows_from(panel.n_steps)
    tables = tables_of(wide.model)
    with torch.no_grad():
        for name, table in split(rows, tables).items():
            tables[name][is_new] = table[is_new]
    wide.scaled.requires_grad_(True)
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
    only_new = panel.select(new.numpy())
    mean = measure(only_new.values[:stop], only_new.mask[:stop]).mean
    naive = {
        each.name: score_naive(each, only_new, origins, search.trained.reach.horizon, mean).scores().mae
        for each in naives_for(panel)
    }
    of_new, of_known = (own.scores(series=torch.where(which)[0].tolist()).mae for which in (new, known))
    return AddedSeries(only_new.series, of_new, naive, absolute / count if count else math.nan, of_known)


def _widened(trained: TrainedModel, info: SeriesInfo, scaler: Scaler) -> TrainedModel:
    """The same weights in a model of more series, whose new rows are zero."""
    name, options = trained.config["model"]["name"], trained.config["model"]["options"]
    with torch.random.fork_rng():
        model = new_model(name, options, trained.reach, info, trained.loss)
    weights = trained.model.state_dict()
    if getattr(model, "per_series", None) is None:
        raise InputError(
            f"expected a model whose series come and go, but {type(model).__name__} does not say which of its "
            "parameters belong to series (`per_series`): train again"
        )
    n_new = len(info.series) - len(trained.info.series)
    for name, table in tables_of(model).items():
        weights[name] = torch.cat([weights[name], table.new_zeros(n_new, *table.shape[1:])])
    _check_sizes(model, weights)
    model.load_state_dict(weights)
    return trained.replaced(info=info, model=model, scaler=scaler)


def _check_sizes(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.shape != weights[name].shape:
            raise InputError(
                f"expected a model whose series come and go, but {name} of {type(model).__name__} depends on how many "
                "there are: train again"
            )


def _scaler(trained: TrainedModel, panel: Panel, scale_per: ScalePer) -> Scaler:
    """That of training, and behind it the new series' own."""
    n_known = len(trained.info.series)
    measured = Scaler.of(measure(panel.values, panel.mask))
    arrays = []
    for name in ("mean", "std"):
        old, new = getattr(trained.scaler, name), getattr(measured, name)[n_known:]
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


BATCH = 16
ENCODER_RATE, OWN_RATE = 1e-2, 1e-1
DECAY = 0.1
"""Of weights of the encoder and of what series add to it (AdamW)."""
HIDDEN = 0.5
"""Share of the series of training whose rows are hidden in a step."""


class NewRows:
    """Finds and judges rows of series.

    Args:
        trained: A model of all series, the rows of the new ones anything.
        panel: The history of all.
        features: (N, F) what is known of every series.
        is_new: (N,) whose rows are unknown.
        usable: (N,) whose rows can be learnt from or have to be found.
    """

    def __init__(self, trained: TrainedModel, panel: Panel, features: Tensor, is_new: Tensor, usable: Tensor) -> None:
        self.trained, self.panel, self.features = trained, panel, features
        self.is_new, self.usable = is_new, usable
        self.tables = tables_of(trained.model)
        tables = [table.flatten(1) for table in self.tables.values()]
        self.known = torch.cat([torch.zeros(len(is_new), 0), *tables], dim=1)  # (N, K)
        self.batch = min(BATCH, trained.batch_size)

    def find(self, origins: np.ndarray, steps: int) -> Tensor:
        """Rows (N, K) from the windows of `origins`: of new series, and of the others as if theirs were not known."""
        if not self.tables:
            return self.known
        encoder = SeriesEncoder(self.features.shape[1], self.known[self.usable & ~self.is_new])
        own = nn.Parameter(torch.zeros_like(self.known))
        rates = [ENCODER_RATE, OWN_RATE]
        groups = [{"params": list(encoder.parameters())}, {"params": [own]}]
        optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps + 1, pct_start=0.1)
        windows = self._windows(origins)
        for _ in range(steps):
            hidden = self.usable & (self.is_new | (torch.rand(len(own)) < HIDDEN))
            rows = torch.where(hidden[:, None], encoder(self.features, own), self.known)
            loss = self._loss(rows, windows[torch.randint(len(windows), (self.batch,)).tolist()])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            return encoder.eval()(self.features, own)

    def score(self, rows: Tensor, hidden: Tensor, origins: np.ndarray) -> MetricSums:
        """The errors in the windows of `origins` where the rows of `hidden` series are those given."""
        table = torch.where(hidden[:, None], rows, self.known)
        with torch.inference_mode():
            return backtest(lambda batch: self._forecast(table, batch), self._windows(origins), self.batch)

    def _windows(self, origins: np.ndarray) -> WindowDataset:
        return WindowDataset(self.panel, self.trained.info.calendar, origins, self.trained.reach)

    def _forecast(self, rows: Tensor, batch: Batch) -> Tensor:
        given = {f"model.{name}": table for name, table in split(rows, self.tables).items()}
        return self.trained.loss.point(functional_call(self.trained.scaled, given, (batch,)))

    def _loss(self, rows: Tensor, batch: Batch) -> Tensor:
        """The mean absolute error of all series, each in its own scale: new series are not to disturb the others."""
        target, mask = targets_of(batch)
        counted = mask & self.usable[:, None]
        error = (self._forecast(rows, batch) - target).abs() / self.trained.scaled.std
        return torch.where(counted, error, 0).sum() / counted.sum().clamp_min(1)


def tables_of(model: nn.Module) -> dict[str, Tensor]:
    """What has one row a series, by name."""
    state = model.state_dict()
    return {name: state[name] for name in getattr(model, "per_series", None) or ()}


def split(rows: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tables of joined rows (N, K)."""
    parts = rows.split([table[0].numel() for table in like.values()], dim=1)
    return {name: part.reshape(-1, *like[name].shape[1:]) for name, part in zip(like, parts, strict=True)}
