"""Tests of the Forecaster: panels and frames, forecasts, backtests, and no leakage from validation and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from elinformer.data.form import Form
from elinformer.data.io.frames import panel_from_frame
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster

MakeForecaster = Callable[..., Forecaster]


def replace_steps(panel: Panel, steps: slice, value: float) -> Panel:
    """Return the panel with other values at some steps, all of them observed."""
    values = panel.values.copy()
    values[steps] = value + np.arange(values[steps].size, dtype=np.float32).reshape(values[steps].shape) % 7
    return replace(panel, values=values, mask=~np.isnan(values))


def wide_frame(panel: Panel) -> pd.DataFrame:
    return pd.DataFrame(panel.values[..., 0], columns=list(panel.series), index=panel.timestamps).rename_axis("ds")


def weights(forecaster: Forecaster) -> dict[str, torch.Tensor]:
    return forecaster.trained.model.state_dict()


def have_same_weights(first: Forecaster, second: Forecaster) -> bool:
    return all(torch.equal(weight, weights(second)[name]) for name, weight in weights(first).items())


def test_a_forecast_is_a_long_frame_of_the_next_steps(trained: Forecaster, hourly_panel: Panel) -> None:
    frame = trained.predict()
    assert list(frame.columns) == ["unique_id", "ds", "elinformer"]
    assert frame["unique_id"].tolist() == [name for name in "abcd" for _ in range(3)]
    expected = pd.date_range("2024-01-11 00:00", periods=3, freq="1h")
    assert frame.loc[frame["unique_id"] == "c", "ds"].tolist() == list(expected)
    assert np.isfinite(frame["elinformer"]).all()


def test_every_channel_has_a_column(make_forecaster: MakeForecaster, two_channel_panel: Panel) -> None:
    frame = make_forecaster(epochs=1).fit(two_channel_panel).predict()
    assert list(frame.columns) == ["unique_id", "ds", "elinformer_flow", "elinformer_speed"]
    assert frame["elinformer_speed"].mean() > 10 * frame["elinformer_flow"].mean()


def test_without_times_a_forecast_continues_the_step_numbers(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    frame = make_forecaster(epochs=1).fit(Panel.from_arrays(hourly_panel.values)).predict()
    assert frame["ds"].tolist()[:3] == [240, 241, 242]


def test_with_service_hours_a_forecast_continues_on_the_next_day(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    values = hourly_panel.values
    panel = Panel.from_arrays(values, start="2024-01-01 06:00", freq="1h", steps_per_day=12)
    forecaster = make_forecaster(epochs=1).fit(panel)
    assert forecaster.predict()["ds"].tolist()[:3] == list(pd.date_range("2024-01-21 06:00", periods=3, freq="1h"))
    assert forecaster.info.calendar is not None
    assert forecaster.info.calendar.known_slots == tuple(range(6, 18))


@pytest.mark.parametrize("form", ["wide", "long", "polars", "wide with the time as a column"])
def test_frames_give_the_forecast_of_the_same_panel(
    form: str, trained: Forecaster, make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    wide = wide_frame(hourly_panel)
    long = wide.reset_index().melt("ds", var_name="unique_id", value_name="y")
    frames: dict[str, Any] = {
        "wide": wide,
        "long": long,
        "polars": pl.from_pandas(long),
        "wide with the time as a column": wide.reset_index(),
    }
    fitted = make_forecaster().fit(frames[form])
    np.testing.assert_allclose(fitted.predict()["elinformer"], trained.predict()["elinformer"], rtol=1e-6)


def test_a_forecast_can_start_from_another_frame_than_that_of_training(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    wide = wide_frame(hourly_panel)
    forecaster = make_forecaster(epochs=1).fit(wide)
    frame = forecaster.predict(wide.iloc[100:106, ::-1])
    panel = hourly_panel.select(steps=slice(100, 106))
    expected = forecaster.forecasts(replace(panel, channels=("value",)), np.array([6]))[0, :, ::-1, 0]
    np.testing.assert_allclose(frame["elinformer"].to_numpy().reshape(4, 3), expected.T, rtol=1e-5)
    assert frame["unique_id"].tolist()[:4] == ["d", "d", "d", "c"]
    assert frame["ds"][0] == hourly_panel.timestamps[106]


def test_only_the_last_window_is_used(trained: Forecaster, hourly_panel: Panel) -> None:
    last = hourly_panel.select(steps=slice(-trained.reach.history, None))
    frame, short = trained.predict(hourly_panel), trained.predict(last)
    np.testing.assert_allclose(short["elinformer"], frame["elinformer"], rtol=1e-5)


def test_series_in_another_order_get_the_same_forecasts(trained: Forecaster, hourly_panel: Panel) -> None:
    frame = trained.predict(hourly_panel.select([2, 0, 3, 1]))
    assert frame["unique_id"].unique().tolist() == ["c", "a", "d", "b"]
    merged = frame.merge(trained.predict(hourly_panel), on=["unique_id", "ds"])
    assert len(merged) == 12
    np.testing.assert_allclose(merged["elinformer_x"], merged["elinformer_y"], rtol=1e-5)


def test_missing_series_count_as_not_observed(trained: Forecaster, hourly_panel: Panel) -> None:
    frame = trained.predict(hourly_panel.select([3, 1]))
    assert frame["unique_id"].unique().tolist() == ["d", "b"]
    values = hourly_panel.values.copy()
    values[:, [0, 2]] = np.nan
    not_observed = trained.predict(replace(hourly_panel, values=values, mask=~np.isnan(values)))
    expected = not_observed.set_index(["unique_id", "ds"])["elinformer"]
    assert frame.set_index(["unique_id", "ds"])["elinformer"].to_dict() == pytest.approx(
        expected.loc[["d", "b"]].to_dict(), rel=1e-5
    )


def test_forecasts_at_past_origins_do_not_use_later_steps(trained: Forecaster, hourly_panel: Panel) -> None:
    origins = np.array([50, 200, 240])
    forecasts = trained.forecasts(hourly_panel, origins)
    assert forecasts.shape == (3, 3, 4, 1)
    for origin, forecast in zip(origins, forecasts, strict=True):
        frame = trained.predict(hourly_panel.select(steps=slice(0, origin)))
        np.testing.assert_allclose(forecast[..., 0].T.ravel(), frame["elinformer"], rtol=1e-5)


def test_backtest_scores_the_windows_of_a_split(trained: Forecaster, hourly_panel: Panel) -> None:
    forecasts = trained.forecasts(hourly_panel, np.arange(192, 238)).astype(np.float64)
    rows = np.arange(192, 238)[:, None] + np.arange(3)
    observed, errors = hourly_panel.mask[rows], np.abs(forecasts - hourly_panel.values[rows])
    scores = trained.backtest().scores()
    assert scores.count == observed.sum()
    assert scores.mae == pytest.approx(errors[observed].mean(), rel=1e-5)
    assert (
        trained.backtest(split="validation").scores().count
        == hourly_panel.mask[np.arange(144, 190)[:, None] + np.arange(3)].sum()
    )
    assert trained.backtest(hourly_panel, split=None).scores().count > scores.count


@pytest.mark.parametrize("tokens_at_once", [1, 50, 1_000_000])
def test_the_batch_size_changes_a_backtest_only_by_rounding(
    tokens_at_once: int, make_forecaster: MakeForecaster, trained: Forecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    trained.save(tmp_path / "run")
    other = Forecaster.load(tmp_path / "run")
    other.training = replace(other.training, tokens_at_once=tokens_at_once)
    scores, expected = other.backtest(hourly_panel).scores(), trained.backtest(hourly_panel).scores()
    assert scores.count == expected.count
    assert (scores.mae, scores.rmse) == pytest.approx((expected.mae, expected.rmse), rel=1e-6)


def test_scaling_calendar_and_weights_do_not_depend_on_validation_and_test(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    model = {"attention": "none"}  # with attention, validation chooses the sharpness; it chooses the blend, too
    original = make_forecaster(model=model, epochs=1).fit(hourly_panel)
    poisoned = make_forecaster(model=model, epochs=1).fit(replace_steps(hourly_panel, slice(144, None), 1e4))
    np.testing.assert_array_equal(poisoned.trained.scaler.mean, original.trained.scaler.mean)
    np.testing.assert_array_equal(poisoned.trained.scaler.std, original.trained.scaler.std)
    assert poisoned.info.calendar == original.info.calendar
    parameters = dict(original.trained.model.named_parameters())
    for name, weight in poisoned.trained.model.named_parameters():
        assert torch.equal(weight, parameters[name])  # one epoch leaves validation no choice of weights


def test_the_choice_of_weights_does_not_depend_on_test(make_forecaster: MakeForecaster, hourly_panel: Panel) -> None:
    options = {"epochs": 4, "learning_rate": 3e-2}
    original = make_forecaster(**options).fit(hourly_panel)
    assert have_same_weights(
        make_forecaster(**options).fit(replace_steps(hourly_panel, slice(192, None), 1e4)), original
    )


def test_weights_depend_on_the_training_steps(make_forecaster: MakeForecaster, hourly_panel: Panel) -> None:
    original = make_forecaster(epochs=1).fit(hourly_panel)
    assert not have_same_weights(
        make_forecaster(epochs=1).fit(replace_steps(hourly_panel, slice(140, 144), 3.0)), original
    )


def test_rare_days_of_training_are_replaced_in_the_test_steps(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    week = hourly_panel.select(steps=slice(0, 168))  # training ends early on the fifth day
    forecaster = make_forecaster(epochs=1).fit(week)
    assert forecaster.info.calendar is not None
    assert forecaster.info.calendar.known_days == (0, 1, 2, 3)
    assert np.isfinite(forecaster.backtest().scores().mae)


@pytest.mark.parametrize("kind", ["constant", "never observed", "never observed in training"])
def test_a_constant_or_unobserved_series_gets_a_finite_forecast(
    kind: str, make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    values = hourly_panel.values.copy()
    if kind == "constant":
        values[:, 1] = 7
    else:
        values[: None if kind == "never observed" else 150, 1] = np.nan
    panel = replace(hourly_panel, values=values, mask=~np.isnan(values))
    for scale_per in ("series", "channel"):
        forecaster = make_forecaster(epochs=1, loss_scale=scale_per)
        forecaster.scale_per = scale_per
        assert np.isfinite(forecaster.fit(panel).predict()["elinformer"]).all()
        assert np.isfinite(forecaster.backtest().scores().mae)


def test_scaling_by_channel_uses_one_mean(
    make_forecaster: MakeForecaster, narrow: dict[str, int], hourly_panel: Panel
) -> None:
    forecaster = Forecaster(6, 3, scale_per="channel", model=narrow, training=make_forecaster(epochs=1).training)
    forecaster.fit(hourly_panel)
    assert np.unique(forecaster.trained.scaler.mean).size == 1


def test_a_saved_forecaster_forecasts_the_same(trained: Forecaster, hourly_panel: Panel, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(hourly_panel), trained.predict(), check_exact=True)
    assert (loaded.reach, loaded.split, loaded.scale_per, loaded.training) == (
        trained.reach,
        trained.split,
        trained.scale_per,
        trained.training,
    )
    assert loaded.info == trained.info
    assert loaded.backtest(hourly_panel).scores() == trained.backtest().scores()


def test_a_loaded_forecaster_can_be_saved_again(trained: Forecaster, hourly_panel: Panel, tmp_path: Path) -> None:
    trained.save(tmp_path / "one")
    Forecaster.load(tmp_path / "one").save(tmp_path / "two")
    for name in ("config.json", "panel.json", "model.safetensors", "scaler.safetensors", "calibration.safetensors"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_model_with_patches_is_saved_and_loaded(
    make_forecaster: MakeForecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    forecaster = make_forecaster(epochs=1, model={"patch_length": 2}).fit(hourly_panel)
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(hourly_panel), forecaster.predict(), check_exact=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "expected window of at least 1, got 0"),
        ({"horizon": 0}, "expected horizon of at least 1, got 0"),
        ({"split": (0.5, 0.5)}, "expected a split of three fractions"),
        ({"scale_per": "row"}, "expected scale_per out of series, channel, got 'row'"),
        ({"model": {"layers": 2}}, "expected model options out of patch_length, .*, got layers"),
        ({"model": {"n_series": 2}}, "expected model options out of .*, got n_series"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Forecaster(**options)


@pytest.mark.parametrize("options", [{"n_heads": 3}, {"patch_length": 4}, {"n_layers": 0}, {"dropout": 1.5}])
def test_invalid_options_of_a_model_are_refused(
    options: dict[str, Any], make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    with pytest.raises(InputError, match="expected "):
        make_forecaster(model=options).fit(hourly_panel)


@pytest.mark.parametrize(("n_steps", "split"), [(1, "train"), (13, "train"), (15, "validation"), (16, "validation")])
def test_data_too_short_for_the_windows_are_refused(
    n_steps: int, split: str, narrow: dict[str, int], hourly_panel: Panel
) -> None:
    forecaster = Forecaster(6, 3, split=(0.6, 0.1, 0.3), model=narrow)
    message = rf"window=6 and horizon=3.*{split}.*{n_steps} steps"
    with pytest.raises(InputError, match=message):
        forecaster.fit(hourly_panel.select(steps=slice(0, n_steps)))


@pytest.mark.parametrize(("steps", "split"), [(slice(0, 144), "train"), (slice(144, 192), "validation")])
def test_a_split_without_observations_is_refused(
    steps: slice, split: str, make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    values = hourly_panel.values.copy()
    values[steps] = np.nan
    panel = replace(hourly_panel, values=values, mask=~np.isnan(values))
    with pytest.raises(InputError, match=f"expected observed values.*{split}.*hourly"):
        make_forecaster().fit(panel)


def test_an_untrained_forecaster_refuses_to_forecast(make_forecaster: MakeForecaster, tmp_path: Path) -> None:
    forecaster = make_forecaster()
    for call in (forecaster.predict, forecaster.backtest, lambda: forecaster.save(tmp_path / "run")):
        with pytest.raises(InputError, match=r"expected a trained forecaster: call fit\(...\) first"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_loaded_forecaster_needs_data(trained: Forecaster, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    with pytest.raises(InputError, match="expected data, because a loaded forecaster has no data"):
        loaded.predict()
    with pytest.raises(InputError, match="expected a forecaster that was fitted here"):
        _ = loaded.fit_result


def test_a_history_shorter_than_the_window_is_refused(trained: Forecaster, hourly_panel: Panel) -> None:
    with pytest.raises(InputError, match="expected at least 6 steps of history, got 5"):
        trained.predict(hourly_panel.select(steps=slice(0, 5)))
    with pytest.raises(InputError, match=r"at least 3 steps.*test.*2"):
        trained.backtest(hourly_panel.select(steps=slice(0, 9)))


def test_a_history_shorter_than_the_longest_lag_is_said(
    make_forecaster: MakeForecaster, hourly_panel: Panel, capsys: pytest.CaptureFixture[str]
) -> None:
    forecaster = Forecaster(6, 3, lags=[24], model=make_forecaster().model_options, training={"epochs": 1})
    forecaster.fit(hourly_panel)
    forecaster.predict(hourly_panel.last_steps(30))
    assert "longest lag" not in capsys.readouterr().err
    assert np.isfinite(forecaster.predict(hourly_panel.last_steps(12)).iloc[:, -1]).all()
    assert "12 steps, fewer than the longest lag (24)" in capsys.readouterr().err


def test_unknown_series_are_refused(trained: Forecaster, hourly_panel: Panel) -> None:
    with pytest.raises(InputError, match=r"expected series of training.*'w'"):
        trained.predict(replace(hourly_panel, series=("w", "x", "y", "z")))


@pytest.mark.parametrize("data", [np.ones((3, 3)), [1, 2], "data.csv", 5], ids=str)
def test_data_that_are_neither_panel_nor_frame_are_refused(data: Any, make_forecaster: MakeForecaster) -> None:
    with pytest.raises(InputError, match="expected an eager data frame"):
        make_forecaster().fit(data)


def test_training_options_can_be_a_dict() -> None:
    assert Forecaster(6, 3, training={"epochs": 4}).training.epochs == 4
    with pytest.raises(InputError, match="epoch"):
        Forecaster(6, 3, training={"epoch": 4})


@pytest.mark.parametrize(
    "arguments", [{"window": "12"}, {"window": 0}, {"lags": 24}, {"model": 3}, {"training": "fast"}, {"windw": 6}]
)
def test_arguments_of_the_wrong_kind_are_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(arguments))):
        Forecaster(**arguments)


def test_a_split_that_does_not_exist_is_refused(trained: Forecaster) -> None:
    with pytest.raises(InputError, match="validation"):
        trained.backtest(split="val")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="split"):
        trained.backtest(part="test")  # pyright: ignore[reportCallIssue]


def test_what_was_given_as_numpy_numbers_and_offsets_can_be_saved(
    narrow: dict[str, int], hourly_panel: Panel, tmp_path: Path
) -> None:
    frame = wide_frame(hourly_panel)
    options: dict[str, Any] = {"window": np.int64(6), "horizon": np.int32(3), "lags": np.array([24])}
    forecaster = Forecaster(**options, model=narrow, training={"epochs": np.int64(1)})
    forecaster.fit(frame, freq=pd.offsets.Hour(1)).save(tmp_path / "run")
    assert len(Forecaster.load(tmp_path / "run").predict(frame, freq="60min")) == 12


def test_forecasts_do_not_depend_on_the_default_dtype(make_forecaster: MakeForecaster, hourly_panel: Panel) -> None:
    expected = make_forecaster(epochs=1).fit(hourly_panel).predict()
    torch.set_default_dtype(torch.float64)
    try:
        found = make_forecaster(epochs=1).fit(hourly_panel).predict()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    pd.testing.assert_frame_equal(found, expected)


def test_a_small_swing_at_a_large_level_is_learned_and_forecast(
    make_forecaster: MakeForecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    usual = Panel.from_arrays(hourly_panel.values.astype(np.float64), start="2024-01-01", freq="1h")
    raised = Panel.from_arrays(1e9 + hourly_panel.values.astype(np.float64), start="2024-01-01", freq="1h")
    expected, forecaster = make_forecaster(epochs=2).fit(usual), make_forecaster(epochs=2).fit(raised)
    forecasts = forecaster.predict()["elinformer"]
    np.testing.assert_allclose(forecasts - 1e9, expected.predict()["elinformer"], atol=0.02)
    assert forecaster.backtest().scores().mae == pytest.approx(expected.backtest().scores().mae, rel=0.01)
    forecaster.save(tmp_path / "run")
    pd.testing.assert_series_equal(Forecaster.load(tmp_path / "run").predict(raised)["elinformer"], forecasts)


def test_a_constant_series_is_forecast_as_its_constant(make_forecaster: MakeForecaster, hourly_panel: Panel) -> None:
    values = np.nan_to_num(hourly_panel.values).copy()
    values[:, 1] = 1e6
    forecaster = make_forecaster(epochs=2).fit(Panel.from_arrays(values, start="2024-01-01", freq="1h"))
    np.testing.assert_allclose(forecaster.predict().query("unique_id == '1'")["elinformer"], 1e6, atol=20)


def test_new_data_are_read_as_those_of_training(
    make_forecaster: MakeForecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    long = wide_frame(hourly_panel).reset_index().melt("ds", var_name="unique_id", value_name="y").fillna(-1)
    panel = panel_from_frame(long, null_value=-1)
    make_forecaster(epochs=1).fit(panel).save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(long), loaded.predict(panel))


def test_a_run_of_a_long_frame_takes_the_same_data_wide_and_the_other_way_round(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    wide = wide_frame(hourly_panel)
    long = wide.reset_index().melt("ds", var_name="unique_id", value_name="y")
    for one, other in ((wide, long), (long, wide)):
        forecaster = make_forecaster(epochs=1).fit(one)
        pd.testing.assert_frame_equal(forecaster.predict(other), forecaster.predict(one))
    with pytest.raises(InputError, match="channels y"):
        make_forecaster(epochs=1).fit(long).predict(panel_from_frame(long.rename(columns={"y": "x"}), target_col="x"))


def test_new_data_of_another_step_or_zone_are_refused(trained: Forecaster, hourly_panel: Panel) -> None:
    daily = Panel.from_arrays(
        hourly_panel.values, start="2024-01-01", freq="1D", series=list("abcd"), channels=["flow"]
    )
    with pytest.raises(InputError, match="1D instead of 1h"):
        trained.predict(daily)
    info = replace(trained.info, form=Form(time_type="timestamp[us, tz=Europe/Berlin]"))
    with pytest.raises(InputError, match="zone Europe/Berlin"):
        info.align(replace(hourly_panel, form=Form(time_type="timestamp[us, tz=UTC]"), checked=True))


def test_a_frame_with_other_names_of_columns_is_read_by_them_and_later_frames_alike(
    make_forecaster: MakeForecaster, hourly_panel: Panel
) -> None:
    values = pd.DataFrame(hourly_panel.values[..., 0], columns=list("abcd"), index=hourly_panel.timestamps)
    rows = values.rename_axis("hour").reset_index().melt("hour", var_name="shop", value_name="sold").dropna()
    frame = rows.assign(till=1.0)
    names: Any = {"id_col": "shop", "time_col": "hour", "target_col": "sold"}
    fitted = make_forecaster(epochs=1).fit(frame, **names)
    forecast = fitted.predict(frame)
    assert forecast.columns.tolist()[:2] == ["shop", "hour"]
    pd.testing.assert_frame_equal(forecast, fitted.predict())
    with pytest.raises(InputError, match="beside a panel"):
        make_forecaster().fit(hourly_panel, **names)
    with pytest.raises(InputError, match="did you mean id_col"):
        make_forecaster().fit(frame, id_cols="shop")  # pyright: ignore[reportCallIssue]


def test_irregular_times_are_brought_to_steps_in_later_frames_too(make_forecaster: MakeForecaster) -> None:
    times = pd.date_range("2024-01-01", periods=480, freq="30min") + pd.to_timedelta(np.arange(480) % 7, "min")
    frame = pd.DataFrame({"ds": times, "a": 5 + np.sin(np.arange(480) / 8), "b": 3 + np.cos(np.arange(480) / 8)})
    fitted = make_forecaster(epochs=1).fit(frame, freq="1h", resample="mean")
    pd.testing.assert_frame_equal(fitted.predict(frame), fitted.predict())


def test_forecasts_without_a_recent_reading_are_marked(trained: Forecaster, hourly_panel: Panel) -> None:
    mask = hourly_panel.mask.copy()
    mask[-6:, 2] = False  # the window
    frame = trained.predict(replace(hourly_panel, mask=mask, values=np.where(mask, hourly_panel.values, np.nan)))
    readings = frame.groupby("unique_id")["n_observed"].unique()
    assert readings["c"].tolist() == [0]
    assert readings["a"].tolist() == [np.count_nonzero(mask[-6:, 0])]
    assert "n_observed" not in trained.predict(hourly_panel)
