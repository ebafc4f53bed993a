"""Tests of every registered model in the Forecaster: it is trained, saved and loaded, and forecasts the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.models import MODELS, STID
from elinformer.models.registry import whole_options
from elinformer.options import Settings
from elinformer.training import TrainingConfig
from elinformer.workflows import train_run

ONE_EPOCH = TrainingConfig(epochs=1)


@pytest.fixture(scope="module")
def short_panel(two_channel_panel: Panel) -> Panel:
    """Return the first 80 hours of two channels."""
    return Panel.from_arrays(
        two_channel_panel.values[:80],
        mask=two_channel_panel.mask[:80],
        timestamps=two_channel_panel.timestamps[:80],
        freq="1h",
        series=two_channel_panel.series,
        channels=two_channel_panel.channels,
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_trained_saved_and_loaded_by_its_name(name: str, short_panel: Panel, tmp_path: Path) -> None:
    forecaster = Forecaster(6, 3, model=name, training=ONE_EPOCH).fit(short_panel)
    frame = forecaster.predict()
    assert list(frame.columns) == ["unique_id", "ds", f"{name}_flow", f"{name}_speed"]
    assert np.isfinite(forecaster.backtest().scores().mae)
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert (loaded.model_name, loaded.model_options) == (name, whole_options(name, {}))
    pd.testing.assert_frame_equal(loaded.predict(short_panel), frame, check_exact=True)


def test_options_are_given_with_the_name(short_panel: Panel, tmp_path: Path) -> None:
    forecaster = Forecaster(6, 3, model={"name": "stid", "n_layers": 1, "dropout": 0.0}, training=ONE_EPOCH)
    model = forecaster.fit(short_panel).trained.model
    assert isinstance(model, STID)
    assert (model.config.n_layers, model.config.dropout, model.config.n_slots) == (1, 0.0, 24)
    forecaster.save(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    options = whole_options("stid", {"n_layers": 1, "dropout": 0.0})
    assert config["model"] == {"name": "stid", "options": options}
    assert (options["n_layers"], options["window_width"]) == (1, 32)


def test_settings_select_the_model(short_panel: Panel, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", data=short_panel.values)
    settings = Settings(window=6, horizon=3, start="2024-01-01", freq="1h").updated({"model": {"name": "elinformer"}})
    settings = settings.updated({"model": {"name": "dlinear"}, "training": {"epochs": 1}})
    metrics = train_run(str(tmp_path / "d.npz"), tmp_path / "run", settings)
    assert metrics["parameters"] == 2 * (6 * 3 + 3) * 9  # quantiles
    assert Forecaster.load(tmp_path / "run").model_name == "dlinear"


def test_the_batch_size_follows_from_the_tokens_of_a_window(short_panel: Panel) -> None:
    n_series, window = short_panel.n_series, 6
    batches = {
        name: Forecaster(window, 3, model=name, training=TrainingConfig(epochs=1, tokens_at_once=96)).fit(short_panel)
        for name in ("stid", "staeformer")
    }
    assert batches["stid"].trained.batch_size == 96 // n_series
    assert batches["staeformer"].trained.batch_size == 96 // (n_series * window)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("sted", "expected a model out of .*, got 'sted'"),
        ({"name": 3}, "expected a model out of .*, got 3"),
        ({"name": "stid", "n_heads": 2}, "expected model options out of window_width, .* for stid, got n_heads"),
        ("softmax", "expected a model out of .*, got 'softmax'"),
    ],
)
def test_unknown_models_and_options_are_refused(model: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Forecaster(model=model)  # pyright: ignore[reportArgumentType]


def test_lags_are_refused_by_a_model_that_does_not_use_them(short_panel: Panel) -> None:
    with pytest.raises(InputError, match="expected no lags for stid"):
        Forecaster(6, 3, lags=[24], model="stid", training=ONE_EPOCH).fit(short_panel)
