"""Tests of models of NeuralForecast. Most of them are skipped if the library is not installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from elinformer.adapters.neuralforecast import PEERS, PeerForecaster, PeerNetwork, _TrainingSteps
from elinformer.batch import Batch
from elinformer.data.io.frames import long_frame
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.scaling import Scaler
from elinformer.data.windows import SplitPanel, WindowDataset
from elinformer.errors import InputError, MissingExtraError
from elinformer.evaluation import backtest, score_naive
from elinformer.evaluation.naive import LAST_VALUE
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("neuralforecast") is None,
    reason='needs NeuralForecast, which is not installed: pip install "elinformer[peers]"',
)

NARROW: dict[str, dict[str, Any]] = {
    "iTransformer": {"hidden_size": 16, "n_heads": 2, "e_layers": 1, "d_ff": 32},
    "SOFTS": {"hidden_size": 16, "d_core": 8, "e_layers": 1, "d_ff": 32},
    "TSMixer": {"n_block": 1, "ff_dim": 4},
    "TimeXer": {"hidden_size": 16, "n_heads": 2, "e_layers": 1, "d_ff": 32},
}
WINDOW, HORIZON = 6, 3
N_TRAIN = 40 - WINDOW - HORIZON + 1


class LastInput(nn.Module):
    """Model that forecasts the last input, and stores its inputs."""

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        self.inputs = inputs
        return inputs["insample_y"][:, -1:].repeat(1, HORIZON, 1)


class ValidationLog(pl.Callback):
    """Callback that stores the loss of every validation, and the number of steps until then."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.steps: list[int] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.losses.append(float(trainer.callback_metrics["validation_loss"]))
        self.steps.append(trainer.global_step)


def waves(*, n_steps: int = 80, n_channels: int = 1, observed: float = 1.0) -> Panel:
    """Return daily rhythms of 4 series. Each channel is a hundred times as large as the one before."""
    rng = np.random.default_rng(0)
    size = np.array([1.0, 2.0, 5.0, 10.0])[:, None] * 100.0 ** np.arange(n_channels)
    values = size * (
        3 + np.sin(np.pi * np.arange(n_steps) / 12)[:, None, None] + 0.1 * rng.normal(size=(n_steps, 4, 1))
    )
    return Panel.from_arrays(values, mask=rng.random(values.shape) < observed, start="2024-01-01", freq="1h")


def make_peer(name: str = "iTransformer", *, options: dict[str, Any] | None = None, **training: Any) -> PeerForecaster:
    config = TrainingConfig(**({"epochs": 2, "batch_size": 16, "device": "cpu"} | training))
    options = NARROW[name] | (options or {})
    return PeerForecaster(name, WINDOW, HORIZON, split=(0.5, 0.25, 0.25), training=config, options=options)


def windows(panel: Panel, origins: Any) -> WindowDataset:
    return WindowDataset(panel, None, np.array(origins), Reach(WINDOW, HORIZON))


def test_a_missing_library_is_reported_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "neuralforecast", None)
    with pytest.raises(MissingExtraError, match=r'iTransformer needs .* pip install "elinformer\[peers\]"'):
        make_peer()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "itransformer"}, "expected a peer out of iTransformer, SOFTS, TSMixer, TimeXer, got 'itransformer'"),
        ({"window": 0}, "expected a window of at least 1 step, got 0"),
        ({"horizon": 0}, "expected a horizon of at least 1 step, got 0"),
        ({"split": (0.5, 0.5)}, "expected a split of three fractions"),
        ({"training": TrainingConfig(seed=1 << 32)}, r"expected a seed below 2\*\*32"),
        *(
            (
                {"name": "TimeXer", "window": 12, "options": {"patch_len": length}},
                f"expected patch_len from 1 to window=12 steps, got {length!r}: shorten the patches",
            )
            for length in (13, 0, 2.5)
        ),
    ],
)
def test_invalid_settings_are_refused_with_and_without_the_library(settings, message):
    with pytest.raises(InputError, match=message):
        PeerForecaster(**{"name": "SOFTS"} | settings)


def test_a_gap_is_filled_with_the_value_before_it_or_after_it_or_with_zero():
    nan = np.nan
    values = torch.tensor([[1, 2, nan, 4], [nan, 5, nan, nan], [nan, nan, nan, nan]]).T[None, ..., None]
    inner = LastInput()
    PeerNetwork(inner)(Batch(values, ~values.isnan()))
    assert inner.inputs["insample_y"][0].T.tolist() == [[1, 2, 2, 4], [5, 5, 5, 5], [0, 0, 0, 0]]
    assert inner.inputs["insample_mask"][0].T.tolist() == [[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_every_channel_of_a_series_is_a_series_of_the_network():
    values = torch.randn(2, WINDOW, 4, 3)
    inner = LastInput()
    forecast = PeerNetwork(inner)(Batch(values, torch.ones_like(values, dtype=torch.bool)))
    assert inner.inputs["insample_y"].shape == (2, WINDOW, 12)
    assert forecast.equal(values[:, -1:, ..., None].expand(2, HORIZON, 4, 3, 1))


@needs_library
@pytest.mark.filterwarnings("ignore")  # warnings of NeuralForecast
@pytest.mark.parametrize("name", PEERS)
def test_a_forecast_equals_the_prediction_of_neuralforecast(name):
    panel = waves()
    peer = make_peer(name).fit(panel)
    network: Any = peer.module.model
    prediction = network.model.predict(neuralforecast_data(panel, peer, 60))
    mean, std = (x[:, 0].numpy() for x in (peer.module.scaled.mean, peer.module.scaled.std))
    with torch.inference_mode():
        forecast = peer.forecast(windows(panel, [60])[[0]])
    np.testing.assert_allclose(forecast[0, ..., 0], prediction.reshape(4, HORIZON).T * std + mean, rtol=1e-5)


@needs_library
@pytest.mark.filterwarnings("ignore")  # warnings of NeuralForecast
def test_training_gives_the_forecasts_of_the_fit_of_neuralforecast():
    from neuralforecast.models import iTransformer

    panel = waves()
    # The loader of NeuralForecast draws windows at random. Nothing random is left without dropout, and with all of its
    # windows in every step. It has two windows more: their targets end after the training steps and are masked there.
    options = NARROW["iTransformer"] | {"dropout": 0.0}
    training = {"epochs": 3, "batch_size": N_TRAIN + 2, "gradient_clip": 1e9, "averaged_epochs": 0.0, "seed": 5}
    peer = make_peer(options=options, **training).fit(panel)
    assert peer.fit_result.best_epoch == 3
    network: Any = peer.module.model
    sizes = {"h": HORIZON, "input_size": WINDOW, "n_series": 4, "max_steps": 3, "windows_batch_size": N_TRAIN + 2}
    quiet = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False}
    model = iTransformer(**sizes, **options, random_seed=5, enable_model_summary=False, **quiet)
    untrained = model.predict(neuralforecast_data(panel, peer, 60))
    model.fit(neuralforecast_data(panel, peer, 40))
    ours, theirs = (each.predict(neuralforecast_data(panel, peer, 60)) for each in (network.model, model))
    # Weights without a gradient follow its rounding, which Adam makes as large as any other step. No weights are
    # compared therefore, but forecasts: a step more or less moves them by a third.
    assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs - untrained).max()


@needs_library
@pytest.mark.parametrize("name", PEERS)
def test_training_takes_the_steps_of_our_models_keeps_the_best_weights_and_restores_the_random_state(name):
    panel, log = waves(), ValidationLog()
    before = torch.get_rng_state()
    peer = make_peer(name, options={"learning_rate": 0.1}, epochs=6).fit(panel, callbacks=[log])
    assert torch.get_rng_state().equal(before)
    assert log.steps == [2, 4, 6, 8, 10, 12]  # two batches hold the N_TRAIN windows
    result = peer.fit_result
    assert (result.epochs, result.best_epoch) == (6, 1 + int(np.argmin(log.losses)))
    validation = SplitPanel.of(panel, peer.split, peer.reach).windows("validation", None)
    sums = backtest(peer.forecast, validation, peer.batch_size)
    std = peer.module.scaled.std.double()
    assert float((sums.absolute / std).sum() / sums.count.sum()) == pytest.approx(min(log.losses), rel=1e-5)


@needs_library
def test_training_stops_after_the_patience():
    log = ValidationLog()
    peer = make_peer(options={"learning_rate": 10.0}, epochs=50, patience=2).fit(waves(), callbacks=[log])
    assert len(log.losses) == peer.fit_result.best_epoch + 2 < 50


@needs_library
def test_the_seed_message_of_lightning_is_not_shown(capfd):
    make_peer().fit(waves())
    assert "Seed set" not in "".join(capfd.readouterr())


@needs_library
def test_the_seed_determines_the_weights():
    panel = waves()
    first, again, other = (make_peer(seed=seed).fit(panel).module.state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert any(not weight.equal(other[name]) for name, weight in first.items())


@needs_library
@pytest.mark.parametrize("name", PEERS)
def test_forecasts_with_many_gaps_are_finite_and_in_the_units_of_every_channel(name):
    panel = waves(n_channels=2, observed=0.5)
    peer = make_peer(name, epochs=4).fit(panel)
    batch = windows(panel, range(60, 70))[list(range(10))]
    batch.values[0], batch.mask[0] = torch.nan, False  # no observation
    with torch.inference_mode():
        forecast = peer.forecast(batch)
    assert forecast.shape == (10, HORIZON, 4, 2)
    typical = forecast.mean((0, 1)) / (torch.tensor([1.0, 2.0, 5.0, 10.0])[:, None] * torch.tensor([1.0, 100.0]))
    assert ((typical > 1) & (typical < 5)).all()


@needs_library
def test_series_keep_their_order_and_gaps_are_masked():
    panel = waves(n_channels=2, observed=0.8)
    unit = Scaler(np.zeros((4, 2), np.float32), np.ones((4, 2), np.float32))
    temporal = _TrainingSteps(panel, 40, unit, N_TRAIN)[[0]]["temporal"]  # (N C, 2, T)
    values, mask = (x[:40].reshape(40, 8).T for x in (panel.values, panel.mask))
    assert (temporal[:, 1].numpy() == mask).all()
    assert (temporal[:, 0].numpy()[mask] == values[mask]).all()
    assert temporal.isfinite().all()


@needs_library
@pytest.mark.parametrize("window_and_patch", [(12, 12), (24, 12), (32, 16), (7, 7), (17, 1)])
def test_patches_of_timexer_cover_the_window(window_and_patch):
    window, patch = window_and_patch
    config = TrainingConfig(epochs=1, device="cpu")
    peer = PeerForecaster("TimeXer", window, 3, training=config, options=NARROW["TimeXer"]).fit(waves(n_steps=100))
    network: Any = peer.module.model
    assert network.model.patch_len == patch


@needs_library
@pytest.mark.parametrize("option", ["hiden_size", "max_steps", "scaler_type", "futr_exog_list"])
def test_options_of_neither_the_network_nor_the_optimiser_are_refused(option):
    with pytest.raises(InputError, match=f"expected options of SOFTS out of hidden_size, .*, got {option}$"):
        make_peer("SOFTS", options={option: 1}).fit(waves())


@needs_library
def test_a_panel_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="expected enough steps for window=6 and horizon=3"):
        make_peer().fit(waves(n_steps=10))


@needs_library
def test_an_untrained_peer_refuses_to_forecast():
    panel = waves()
    with pytest.raises(InputError, match="expected a trained forecaster"):
        make_peer().forecast(windows(panel, [60])[[0]])


@needs_library
@pytest.mark.slow
def test_a_small_itransformer_beats_the_last_value_on_a_week_of_freeway_speeds(shared_data: Path):
    panel = read_panel(shared_data / "metr_la_week1.npz")
    options = {"hidden_size": 64, "d_ff": 64, "e_layers": 1}
    peer = PeerForecaster("iTransformer", training=TrainingConfig(epochs=4, device="cpu"), options=options).fit(panel)
    data = SplitPanel.of(panel, peer.split, peer.reach)
    naive = score_naive(LAST_VALUE, panel, data.origins("test"), 12, data.moments.mean).scores()
    scores = backtest(peer.forecast, data.windows("test", None), peer.batch_size).scores()
    assert scores.mae < naive.mae


def neuralforecast_data(panel: Panel, peer: PeerForecaster, n_steps: int) -> Any:
    """Return the first steps of a panel of one channel, scaled, as NeuralForecast reads them from a data frame."""
    from neuralforecast.tsdataset import TimeSeriesDataset

    scaler = peer.module.scaled
    scaled = (panel.values[:n_steps] - scaler.mean.numpy()) / scaler.std.numpy()
    frame = long_frame(scaled, panel.timestamps[:n_steps], panel.series, panel.channels, column="y")
    return TimeSeriesDataset.from_df(frame)[0]
