"""The preset "best": several models from seeds of their own, whose forecasts are averaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interruptions import CallAtStep, CrashError, crash

from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.models.ensemble import Ensemble

MEMBERS = 3


@pytest.fixture(scope="module")
def best(new_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> Forecaster:
    return new_forecaster(preset="best", epochs=1, refit=True).fit(hourly_panel)


def members_of(forecaster: Forecaster) -> list[Forecaster]:
    """Return forecasters of the members, with the calibration of the whole."""
    ensemble = forecaster.trained.model
    assert isinstance(ensemble, Ensemble)
    singles = []
    for member in ensemble.members:
        single = Forecaster(6, 3, lags=())
        vars(single).update(vars(forecaster), _trained=forecaster.trained.replaced(model=member, refitted=None))
        singles.append(single)
    return singles


def assert_same_models(forecaster: Forecaster, other: Forecaster) -> None:
    for each in ("model", "refitted"):
        weights, others = (getattr(f.trained, each).state_dict() for f in (forecaster, other))
        assert weights.keys() == others.keys()
        assert all(weight.equal(others[name]) for name, weight in weights.items())


def test_the_forecast_is_the_mean_of_models_that_differ(best: Forecaster, hourly_panel: Panel) -> None:
    origins = np.arange(200, 210)
    singles = [single.forecasts(hourly_panel, origins) for single in members_of(best)]
    assert len(singles) == MEMBERS
    assert not np.allclose(singles[0], singles[1])
    np.testing.assert_allclose(best.forecasts(hourly_panel, origins), np.mean(singles, 0), rtol=1e-5)


def test_quantiles_are_averaged_by_level_and_stay_in_order(best: Forecaster, hourly_panel: Panel) -> None:
    quantiles = best.trained.quantile_forecasts(hourly_panel, np.arange(200, 210))
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    intervals = best.backtest().intervals
    assert intervals is not None
    assert 0.5 < float(intervals.coverage(80).mean()) < 1


def test_a_run_of_several_models_is_loaded_as_it_was_saved(
    best: Forecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    best.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert_same_models(loaded, best)
    assert loaded.backtest(hourly_panel).scores() == best.backtest().scores()


def test_a_training_killed_in_the_second_model_resumes_there(
    best: Forecaster,
    new_forecaster: Callable[..., Forecaster],
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    per_model = 5 + best.fit_result.refit_steps
    call_at_step(per_model + 3, crash)
    with pytest.raises(CrashError):
        new_forecaster(preset="best", epochs=1, refit=True).fit(hourly_panel, run=tmp_path / "run")
    call_at_step(2 * per_model - 2 + 1, crash)  # two steps of the second model are not repeated
    assert_same_models(Forecaster.resume(tmp_path / "run", hourly_panel), best)
