"""Series without any history: their features tell scale and embedding, by a linear map that the other series fit.

The map is a ridge regression from the features of a series to its row in the tables of the model, to its mean and to
its deviation. Leave-one-out errors choose the penalties; without any use of the features, they choose the mean of the
other series.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.func import functional_call

from elinformer._dtype import float32_default
from elinformer.data.io.static import series_of_rows, static_covariates
from elinformer.data.pieces import evenly_spaced
from elinformer.data.reach import window_origins
from elinformer.data.scaling import Scaler
from elinformer.data.windows import WindowDataset
from elinformer.errors import InputError
from elinformer.evaluation import MetricSums, targets_of
from elinformer.models.ensemble import ScaledEnsemble
from elinformer.models.stand_in import with_stand_in
from elinformer.new_series import (
    FOLDS,
    SCORED_SHARE,
    AddedSeries,
    extend_model,
    series_tables,
    split_rows,
)

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import ScalePer
    from elinformer.data.series_info import SeriesInfo
    from elinformer.trained_model import TrainedModel

PENALTIES = 10.0 ** np.arange(-2, 6)
"""Penalties that are tried, in units of the mean square of a feature over all series; the last one is a mean."""

MAX_WINDOWS = 32
"""Windows that errors are measured on at most."""

FEWEST = 10
"""Series of training that a map can be fitted on."""


class Rows(NamedTuple):
    """Facts of a model on n series: rows (n, K) of its tables, mean and deviation (n, C) of each."""

    tables: np.ndarray
    mean: np.ndarray
    std: np.ndarray


@float32_default()
def with_unseen_series(trained: TrainedModel, history: Panel, features: Any, *, scale_per: ScalePer) -> TrainedModel:
    """Return a trained model with the series of `features` that it does not know; see `Forecaster.add_series`.

    Args:
        trained: The trained model.
        history: History of series of training, for the errors to expect.
        features: Frame with `unique_id` and columns of numbers or categories.
        scale_per: "channel" uses the scale of training for all series.

    Raises:
        InputError: There is no new series, there are too few others, or features of a series are missing.
    """
    old = trained.info.series
    new = tuple(name for name in series_of_rows(features) if name not in set(old))
    if not new:
        raise InputError(f"expected features of series that training did not have, but it had all {len(old)}: add rows")
    if len(old) < FEWEST:
        raise InputError(
            f"expected at least {FEWEST} series of training to learn from what features say, got {len(old)}: pass the "
            "history of the new series instead"
        )
    numbers = _standardised(static_covariates(features, (*old, *new)).values.astype(np.float64), len(old))
    history, info = trained.info.align(history), _with_names(trained.info, new, features)
    extended = _grown(trained, info, numbers, scale_per)
    if trained.refitted is not None:
        extended = extended.replaced(refitted=_grown(trained.latest, info, numbers, scale_per).model)
    added = _errors(trained, history, numbers[: len(old)], new)
    return extended.replaced(data=trained.description_of(history), added=added.to_document())


def _grown(trained: TrainedModel, info: SeriesInfo, features: np.ndarray, scale_per: ScalePer) -> TrainedModel:
    """Return a model with the series of `info`, of which the last ones are new, from the features of all of them."""
    n_old, known = len(trained.info.series), _known_rows(trained)
    found = predicted(features[:n_old], known, features[n_old:])
    if trained.calibration is None:
        raise AssertionError("a model is calibrated before series are added")
    nonnegative = trained.calibration.nonnegative.all(0).expand(len(features) - n_old, -1)
    extended = extend_model(trained, info, nonnegative, _extended(trained.scaler, found, shared=scale_per == "channel"))
    tables = series_tables(extended.model)
    with torch.no_grad():
        for name, rows in split_rows(torch.from_numpy(found.tables).float(), tables).items():
            tables[name][n_old:] = rows
    return extended


def predicted(features: np.ndarray, known: Rows, wanted: np.ndarray) -> Rows:
    """Return what the features (m, F) of other series say, from those (n, F) of known ones.

    Means of one sign are positive numbers of any size: their logarithms are predicted.
    """
    tables = ridge(features, known.tables, wanted)
    std = np.exp(ridge(features, np.log(known.std), wanted))
    mean = np.empty_like(std)
    for channel in range(std.shape[1]):
        of_channel = known.mean[:, channel : channel + 1]
        is_positive = bool((of_channel > 0).all())
        found = ridge(features, np.log(of_channel) if is_positive else of_channel, wanted)
        mean[:, channel : channel + 1] = np.exp(found) if is_positive else found
    return Rows(tables, mean, std)


def ridge(features: np.ndarray, targets: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return targets (m, K) of features (m, F) by ridge regression of targets (n, K) on features (n, F).

    The penalty has the least leave-one-out error, added up over the targets in units of their variance.
    """
    if not targets.shape[1]:
        return np.zeros((len(wanted), 0))
    n, centre, middle = len(features), features.mean(0), targets.mean(0)
    u, s, vt = np.linalg.svd(features - centre, full_matrices=False)
    residual = targets - middle
    variance = np.maximum(residual.var(0), np.finfo(np.float64).tiny)
    losses: list[float] = []
    for penalty in n * PENALTIES:
        shrunk = s**2 / (s**2 + penalty)
        leverage = (u**2 * shrunk).sum(1) + 1 / n
        left_out = (residual - u * shrunk @ (u.T @ residual)) / (1 - leverage)[:, None]
        losses.append(float((left_out**2 / variance).mean()))
    penalty = n * PENALTIES[int(np.argmin(losses))]
    weights = vt.T * (s / (s**2 + penalty)) @ (u.T @ residual)
    return middle + (wanted - centre) @ weights


def _errors(trained: TrainedModel, history: Panel, features: np.ndarray, new: tuple[str, ...]) -> AddedSeries:
    """Measure the errors of series of training whose history is hidden, a fifth of them in turn."""
    stop = history.n_steps - round(SCORED_SHARE * history.n_steps)
    origins = window_origins((stop, history.n_steps), trained.reach)
    if not len(origins):
        raise InputError(
            f"expected a window in the last fifth of the history, to measure errors on, got {history.n_steps} steps: "
            "pass a longer history"
        )
    origins = origins[evenly_spaced(len(origins), MAX_WINDOWS)]
    windows = WindowDataset(history, trained.info.calendar, origins, trained.reach)
    device = trained.scaled.mean.device
    known, fold_of = _known_rows(trained), np.random.default_rng(0).permutation(history.n_series) % FOLDS
    left_out, naive = (MetricSums(trained.reach.horizon, history.n_series, history.n_channels) for _ in range(2))
    for fold in range(FOLDS):
        hidden = fold_of == fold
        found = predicted(features[~hidden], Rows(*(x[~hidden] for x in known)), features[hidden])
        rows = Rows(*(_replaced(x, y, hidden) for x, y in zip(known, found, strict=True)))
        state = _state(trained, rows)
        scale = [torch.from_numpy(x) for x in rows[1:]]
        mean, shown = torch.from_numpy(known.mean[~hidden].mean(0)), torch.from_numpy(~hidden)[:, None]
        for places in torch.arange(len(windows)).split(trained.batch_size):
            batch = windows[places.tolist()]
            target, mask = targets_of(batch)
            masked = batch._replace(mask=batch.mask & shown)
            masked = with_stand_in(
                masked, torch.from_numpy(np.flatnonzero(hidden)), *(x.to(batch.values) for x in scale)
            ).to(device)
            with torch.inference_mode():
                forecast = trained.loss.point(functional_call(trained.scaled, state, (masked,)))
            left_out.update(forecast, target, mask & ~shown)
            naive.update(mean.to(target).expand_as(target), target, mask & ~shown)
    errors = {"mean of the other series": naive.scores().mae}
    return AddedSeries(new, math.nan, errors, left_out.scores().mae, trained.scores(history, origins).scores().mae)


def _state(trained: TrainedModel, rows: Rows) -> dict[str, Tensor]:
    """Return the tensors of the scaled model that other rows stand in for."""
    tables = split_rows(torch.from_numpy(rows.tables).float(), series_tables(trained.model))
    scale = {name: torch.from_numpy(getattr(rows, name)).to(trained.scaled.mean) for name in ("mean", "std")}
    parts = (
        [f"parts.{i}." for i in range(len(trained.scaled.parts))]
        if isinstance(trained.scaled, ScaledEnsemble)
        else [""]
    )
    scales = {f"{part}{name}": tensor for part in parts for name, tensor in scale.items()}
    moved = {trained.scaled.path_of(name): table.to(trained.scaled.mean.device) for name, table in tables.items()}
    return scales | moved


def _known_rows(trained: TrainedModel) -> Rows:
    tables = [table.flatten(1).double().cpu().numpy() for table in series_tables(trained.model).values()]
    n = len(trained.info.series)
    joined = np.concatenate([np.zeros((n, 0)), *tables], axis=1)
    return Rows(joined, *(x.astype(np.float64) for x in (trained.scaler.mean, trained.scaler.std)))


def _replaced(rows: np.ndarray, found: np.ndarray, where: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[where] = found
    return rows


def _standardised(numbers: np.ndarray, n_known: int) -> np.ndarray:
    known = numbers[:n_known]
    std = known.std(0)
    return (numbers - known.mean(0)) / np.where(std > 0, std, 1)


def _extended(scaler: Scaler, found: Rows, *, shared: bool) -> Scaler:
    parts = []
    for old, new in ((scaler.mean, found.mean), (scaler.std, found.std)):
        rows = np.broadcast_to(old[:1], new.shape) if shared else new
        parts.append(np.concatenate([old, rows.astype(old.dtype)]))
    return Scaler(*parts)


def _with_names(info: SeriesInfo, new: tuple[str, ...], features: Any) -> SeriesInfo:
    """Return the information with new series, and with their static covariates if training had some."""
    names = info.covariates.static.names
    if not names:
        return replace(info, series=info.series + new)
    found = static_covariates(features, new)
    own = {name: found.values[:, i] for i, name in enumerate(found.names)}
    rows = np.stack([own.get(name, np.zeros(len(new), np.float32)) for name in names], -1)
    values = info.covariates.static_values + tuple(tuple(row) for row in rows.tolist())
    return replace(info, series=info.series + new, covariates=replace(info.covariates, static_values=values))
