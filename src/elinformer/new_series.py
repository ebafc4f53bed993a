"""New series for a trained model: the scale and the embedding of a series are learned, the weights are frozen.

An encoder computes the embedding of a series from its features. It minimises the forecast error of the frozen model.
In every step, the embeddings of half of the series of training, drawn at random, are hidden and replaced by those of
the encoder. New series are always hidden. The embedding of a hidden series also has a correction, which is learned for
each series. It becomes large for a series with a long history, and stays near zero for a short one.

The errors to expect are measured first: on the last fifth of the history, with embeddings from the steps before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from elinformer._dtype import float32_default
from elinformer.data.io.static import static_covariates
from elinformer.data.profile import history_profile, principal_components
from elinformer.data.reach import window_origins
from elinformer.data.scaling import Scaler, lowest_values, measure, window_deviation
from elinformer.data.windows import WindowDataset
from elinformer.errors import InputError
from elinformer.evaluation import MetricSums, backtest, naives_for, score_naives, targets_of
from elinformer.models.ensemble import n_members
from elinformer.nn.embeddings import SeriesEncoder
from elinformer.trained_model import new_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.data.reach import Reach
    from elinformer.data.scaling import ScalePer
    from elinformer.data.series_info import SeriesInfo
    from elinformer.trained_model import TrainedModel

STEPS = 300
"""Default number of optimiser steps."""
SCORED_SHARE = 0.2
"""Share of the history, at its end, that errors are measured on."""
MAX_SCORED_WINDOWS = 128
FOLDS = 5
"""Number of groups of the series of training that are left out in turn."""


@dataclass(frozen=True)
class AddedSeries:
    """Names of new series, and mean absolute errors in the units of the data.

    All errors are measured on the same windows, in the last fifth of the history.

    Attributes:
        series: Names of the new series.
        mae: Error of the new series, with embeddings from the history before these windows.
        naive: Errors of the naive forecasts of the new series, by name.
        left_out: Error of the series of training, with a fifth of them in turn treated as new series. It is an
            optimistic estimate, because the weights were trained on these series.
        trained: Error of the series of training with their own embeddings.
    """

    series: tuple[str, ...]
    mae: float
    naive: dict[str, float]
    left_out: float
    trained: float

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document, with None instead of NaN for an error without observations."""
        mae, left_out, trained = (_none_if_nan(error) for error in (self.mae, self.left_out, self.trained))
        naive = {name: _none_if_nan(error) for name, error in self.naive.items()}
        return {"series": list(self.series), "mae": mae, "naive": naive, "left_out": left_out, "trained": trained}


def _none_if_nan(error: float) -> float | None:
    return None if math.isnan(error) else error


@float32_default()
def with_new_series(
    trained: TrainedModel,
    history: Panel,
    *,
    scale_per: ScalePer,
    features: Any | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> TrainedModel:
    """Return a trained model with the new series of `history`; see `Forecaster.add_series`.

    Args:
        trained: The trained model.
        history: History of the new series and of series of training.
        scale_per: "series" measures the scale of each new series. "channel" uses the scale of training.
        features: Frame with `unique_id` and columns of numbers; None = without features.
        steps: Number of optimiser steps.
        seed: Seed of the optimisation.

    Raises:
        InputError: There is no new series, the history is too short, or the model has to be trained again.
    """
    if steps < 1:
        raise InputError(f"expected at least one step, got steps={steps}")
    new = trained.info.new_series(history)
    if not new:
        raise InputError(f"expected series that training did not have, but it had all {history.n_series}: add others")
    info = trained.info.with_series(new, history)
    panel = info.align(history)
    min_steps = _min_observed_steps(panel, trained.reach)
    _check_history(panel, len(new), min_steps)
    panel = _from_first_observation(panel, len(new))
    usable = _observed_steps(panel) >= min_steps
    if not usable[: -len(new)].any():
        raise InputError(
            "expected series of training in the history too, to learn from, got none with "
            f"{min_steps} observed steps since the first step of a new series: pass the history of both"
        )
    scaler = _extend_scaler(trained, panel, scale_per)
    rows = _NewRows(panel, len(new), usable, _static_features(history, info.series, usable, features), steps)
    nonnegative = torch.from_numpy(lowest_values(panel.values, panel.mask)[-len(new) :] >= 0)
    extended = extend_model(trained, info, nonnegative, scaler)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        added = rows.measure(extended)
        rows.learn(extended)
        if trained.refitted is not None:
            latest = extend_model(trained.latest, info, nonnegative, scaler)
            rows.learn(latest)
            extended = extended.replaced(refitted=latest.model)
    return extended.replaced(data=trained.description_of(history), added=added.to_document())


@dataclass(frozen=True, eq=False)
class _NewRows:
    """Search for the rows of new series.

    Attributes:
        panel: The history of all series.
        n_new: Number of new series, which are the last ones.
        usable: (N,) bool, True = the series has enough history.
        static: Static features of the usable series.
        steps: Number of optimiser steps.
    """

    panel: Panel
    n_new: int
    usable: np.ndarray
    static: Sequence[np.ndarray]
    steps: int

    def measure(self, extended: TrainedModel) -> AddedSeries:
        """Measure the errors at the end of the history, with rows from the steps before it."""
        stop = self.panel.n_steps - _scored_steps(self.panel, self.n_new, extended.reach)
        origins = window_origins((stop, self.panel.n_steps), extended.reach)
        return _measure_errors(*self._found(extended, stop), origins[:: -(-len(origins) // MAX_SCORED_WINDOWS)], stop)

    def learn(self, extended: TrainedModel) -> None:
        """Learn the rows from all steps, and write them into the model."""
        search, rows = self._found(extended, self.panel.n_steps)
        tables = series_tables(extended.model)
        with torch.no_grad():
            for name, table in split_rows(rows, tables).items():
                tables[name][search.is_new] = table[search.is_new]

    def _found(self, extended: TrainedModel, stop: int) -> tuple[RowSearch, Tensor]:
        """Return a search and the rows that it has found in the steps before `stop`; the weights are frozen in it."""
        features = _features(self.panel.select(steps=slice(stop)), extended.scaler, self.usable, self.static)
        is_new = torch.arange(self.panel.n_series) >= self.panel.n_series - self.n_new
        extended.scaled.requires_grad_(False)
        search = RowSearch(extended, self.panel, features, is_new, torch.from_numpy(self.usable))
        rows = search.learn(window_origins((0, stop), extended.reach), self.steps)
        extended.scaled.requires_grad_(True)
        return search, rows


def _measure_errors(search: RowSearch, rows: Tensor, origins: np.ndarray, stop: int) -> AddedSeries:
    panel, new = search.panel, search.is_new
    old = search.usable & ~new
    sums = search.score(rows, new, origins)
    absolute, count = 0.0, 0
    for fold in range(FOLDS):
        hidden = old & (torch.arange(len(new)) % FOLDS == fold)
        fold_sums = search.score(rows, hidden | new, origins)
        absolute += float(fold_sums.absolute[:, hidden].sum())
        count += int(fold_sums.count[:, hidden].sum())
    new_panel = panel.select(new.numpy())
    mean = measure(new_panel.values[:stop], new_panel.mask[:stop]).mean
    naives = score_naives(naives_for(new_panel, stop), new_panel, origins, search.trained.reach.horizon, mean)
    naive_errors = {name: naive.scores().mae for name, naive in naives.items()}
    new_mae, old_mae = (sums.scores(series=torch.where(group)[0].tolist()).mae for group in (new, old))
    return AddedSeries(new_panel.series, new_mae, naive_errors, absolute / count if count else math.nan, old_mae)


def extend_model(trained: TrainedModel, info: SeriesInfo, nonnegative: Tensor, scaler: Scaler) -> TrainedModel:
    """Return a model of the series of `info` with the weights of a trained model.

    The rows of new series are zero in parameters, and the mean row of the others in buffers.

    Args:
        trained: The trained model.
        info: Names of the series, the new ones last.
        nonnegative: (n, C), True = no value of a new series is negative.
        scaler: Scaler of all series.
    """
    name, options = trained.config["model"]["name"], trained.config["model"]["options"]
    with torch.random.fork_rng():
        weights = trained.model.state_dict()
        model = new_model(name, options, trained.reach, info, trained.loss, members=n_members(weights))
    if getattr(model, "per_series", None) is None:
        raise InputError(
            f"expected a model that can add series, but {type(model).__name__} does not declare which of its "
            "parameters belong to series (`per_series`): train again"
        )
    n_new = len(info.series) - len(trained.info.series)
    learned = series_tables(model)
    for name in model.per_series:  # pyright: ignore[reportGeneralTypeIssues]
        rows = weights[name]
        new_row = torch.zeros_like(rows[:1]) if name in learned else rows.mean(0, keepdim=True)
        weights[name] = torch.cat([rows, new_row.expand(n_new, *rows.shape[1:])])
    _check_sizes(model, weights)
    model.load_state_dict(weights)
    calibration = trained.calibration and trained.calibration.with_new_series(nonnegative)
    return trained.replaced(info=info, model=model, scaler=scaler, calibration=calibration, refitted=None)


def _check_sizes(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.shape != weights[name].shape:
            raise InputError(
                f"expected a model that can add series, but the shape of {name} of {type(model).__name__} depends on "
                "the number of series: train again"
            )


def _extend_scaler(trained: TrainedModel, panel: Panel, scale_per: ScalePer) -> Scaler:
    """Return the scaler of training, with rows for the new series at its end."""
    n_old = len(trained.info.series)
    measured = Scaler.of(measure(panel.values, panel.mask), dtype=panel.values.dtype)
    if trained.scaled.scales_windows:
        origins = window_origins((0, panel.n_steps), trained.reach)
        measured = measured.by_window(window_deviation(panel.values, panel.mask, origins, trained.reach.inputs))
    arrays = []
    for name in ("mean", "std"):
        old, new = getattr(trained.scaler, name), getattr(measured, name)[n_old:]
        arrays.append(np.concatenate([old, new if scale_per == "series" else np.broadcast_to(old[:1], new.shape)]))
    return Scaler(*arrays)


def _features(panel: Panel, scaler: Scaler, usable: np.ndarray, static: Sequence[np.ndarray]) -> Tensor:
    """Return the features (N, F) of all series, with zeros for series that are not usable."""
    components = principal_components(history_profile(panel, scaler)[usable], *static)
    features = np.zeros((panel.n_series, components.shape[1]), np.float32)
    features[usable] = components
    return torch.from_numpy(features)


def _static_features(
    history: Panel, series: Sequence[str], usable: np.ndarray, features: Any | None
) -> list[np.ndarray]:
    """Return the static features, covariates and locations (n, F) of the usable series, if there are any."""
    names = [name for name, is_usable in zip(series, usable, strict=True) if is_usable]
    static = [] if features is None else [static_covariates(features, names).values]
    positions = {name: i for i, name in enumerate(history.series)}
    if history.static is not None:
        static.append(history.static.values[[positions[name] for name in names]])
    if history.locations is not None:
        static.append(history.locations[[positions[name] for name in names]])
    return static


def _from_first_observation(panel: Panel, n_new: int) -> Panel:
    """Return the steps from the first observation of any new series on."""
    return panel.last_steps(panel.n_steps - int(_first_observation(panel)[-n_new:].min()))


def _first_observation(panel: Panel) -> np.ndarray:
    """Return the step (N,) of the first observation of every series; `n_steps` for a series without observations."""
    observed = panel.mask.any(2)
    return np.where(observed.any(0), observed.argmax(0), panel.n_steps)


def _scored_steps(panel: Panel, n_new: int, reach: Reach) -> int:
    """Return the number of steps that errors are measured on: a fifth of the shortest history of a new series."""
    shortest = panel.n_steps - int(_first_observation(panel)[-n_new:].max())
    most = panel.n_steps - reach.window - reach.horizon  # leaves one window to learn from
    return min(max(reach.horizon, round(SCORED_SHARE * shortest)), most)


def _min_observed_steps(panel: Panel, reach: Reach) -> int:
    """Return the observed steps that a series needs: a day, with a window to learn from and one to score."""
    return max(panel.steps_of_day or 0, reach.window + 2 * reach.horizon)


def _check_history(panel: Panel, n_new: int, min_steps: int) -> None:
    counts = _observed_steps(panel)[-n_new:]
    short = [name for name, count in zip(panel.series[-n_new:], counts, strict=True) if count < min_steps]
    if short:
        raise InputError(
            f"expected at least {min_steps} observed steps of a new series, but {', '.join(short[:5])} "
            f"{'have' if len(short) > 1 else 'has'} less ({len(short)} such series): add them when there is more, or "
            "leave them out of the data and add them by features alone"
        )


def _observed_steps(panel: Panel) -> np.ndarray:
    """Return the number (N,) of observed steps of every series."""
    return np.count_nonzero(panel.mask.any(2), axis=0)


BATCH_SIZE = 16
ENCODER_RATE, CORRECTION_RATE = 1e-2, 1e-1
"""Learning rates of the encoder and of the corrections."""
WEIGHT_DECAY = 0.1
"""Weight decay of both (AdamW)."""
HIDDEN_SHARE = 0.5
"""Share of the series of training whose rows are hidden in a step."""


class RowSearch:
    """Search for the rows of series in the tables of a frozen model.

    Args:
        trained: A model of all series. The rows of new series can be anything.
        panel: The history of all series.
        features: (N, F), features of every series.
        is_new: (N,) bool, True = the series is new, and has no row yet.
        usable: (N,) bool, True = the series has enough history.
    """

    def __init__(self, trained: TrainedModel, panel: Panel, features: Tensor, is_new: Tensor, usable: Tensor) -> None:
        self.trained, self.panel, self.features = trained, panel, features
        self.is_new, self.usable = is_new, usable
        self.tables = series_tables(trained.model)
        tables = [table.flatten(1) for table in self.tables.values()]
        self.trained_rows = torch.cat([torch.zeros(len(is_new), 0), *tables], dim=1)  # (N, K)
        self.batch_size = min(BATCH_SIZE, trained.batch_size)

    def learn(self, origins: np.ndarray, steps: int) -> Tensor:
        """Learn rows (N, K) of all series. Series of training are treated as if they were new.

        Args:
            origins: (n,), the first target steps of the windows to learn from.
            steps: Number of optimiser steps.
        """
        if not self.tables:
            return self.trained_rows
        encoder = SeriesEncoder(self.features.shape[1], self.trained_rows[self.usable & ~self.is_new])
        corrections = nn.Parameter(torch.zeros_like(self.trained_rows))
        rates = [ENCODER_RATE, CORRECTION_RATE]
        groups = [{"params": list(encoder.parameters())}, {"params": [corrections]}]
        optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps + 1, pct_start=0.1)
        windows = self._windows(origins)
        for _ in range(steps):
            hidden = self.usable & (self.is_new | (torch.rand(len(corrections)) < HIDDEN_SHARE))
            rows = torch.where(hidden[:, None], encoder(self.features, corrections), self.trained_rows)
            loss = self._loss(rows, windows[torch.randint(len(windows), (self.batch_size,)).tolist()])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            return encoder.eval()(self.features, corrections)

    def score(self, rows: Tensor, hidden: Tensor, origins: np.ndarray) -> MetricSums:
        """Return the sums of the errors, with other rows for some of the series.

        Args:
            rows: (N, K), rows for the hidden series.
            hidden: (N,) bool, True = the series gets its row from `rows`.
            origins: (n,), the first target steps of the windows.
        """
        rows = torch.where(hidden[:, None], rows, self.trained_rows)
        with torch.inference_mode():
            return backtest(lambda batch: self._forecast(rows, batch), self._windows(origins), self.batch_size)

    def _windows(self, origins: np.ndarray) -> WindowDataset:
        return WindowDataset(self.panel, self.trained.info.calendar, origins, self.trained.reach)

    def _forecast(self, rows: Tensor, batch: Batch) -> Tensor:
        return self.trained.loss.point(self._outputs(rows, batch))

    def _outputs(self, rows: Tensor, batch: Batch) -> Tensor:
        scaled = self.trained.scaled
        tables = {scaled.path_of(name): table for name, table in split_rows(rows, self.tables).items()}
        return functional_call(scaled, tables, (batch,))

    def _loss(self, rows: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of all usable series, each in units of its standard deviation."""
        target, mask = targets_of(batch)
        counted = mask & self.usable[:, None]
        total = self.trained.loss.total(self._outputs(rows, batch), target, counted, self.trained.scaled.std)
        return total / counted.sum().clamp_min(1)


def series_tables(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters with one row for each series, by name."""
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach() for name in getattr(model, "per_series", None) or () if name in parameters}


def split_rows(rows: Tensor, tables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Split concatenated rows (N, K) into tables of the shapes of `tables`."""
    pieces = rows.split([table[0].numel() for table in tables.values()], dim=1)
    return {name: piece.reshape(-1, *tables[name].shape[1:]) for name, piece in zip(tables, pieces, strict=True)}
