"""Tests of forecasters that compute the series in partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster


def test_forecasts_and_scores_in_partitions_equal_those_of_all_series(trained: Forecaster) -> None:
    at_once, partitions = trained.predict(), trained.predict(series_at_once=3)
    assert partitions["unique_id"].tolist() == at_once["unique_id"].tolist()
    assert partitions["elinformer"].to_numpy() == pytest.approx(at_once["elinformer"].to_numpy(), rel=1e-5)
    assert trained.backtest(series_at_once=1).scores().mae == pytest.approx(trained.backtest().scores().mae, rel=1e-6)


def test_large_windows_are_forecast_in_partitions_by_default(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elinformer.partition import PartitionedForecast

    sizes: list[int] = []
    forecast = PartitionedForecast.__call__
    monkeypatch.setattr(
        PartitionedForecast, "__call__", lambda self, batch: sizes.append(self.series_at_once) or forecast(self, batch)
    )
    small: Any = make_forecaster(model={"patch_length": 1}, tokens_at_once=4, epochs=1).fit(hourly_panel)
    sizes.clear()
    small.predict()
    assert sizes == [1]


def test_a_model_that_needs_all_series_refuses_partitions(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    softmax = make_forecaster(model={"attention": "softmax"}, tokens_at_once=2, epochs=1).fit(hourly_panel)
    assert len(softmax.predict())
    with pytest.raises(InputError, match="softmax_attention"):
        softmax.predict(series_at_once=2)


def test_partitions_of_zero_series_are_refused(trained: Forecaster) -> None:
    with pytest.raises(InputError, match="series_at_once of at least 1"):
        trained.predict(series_at_once=0)
