"""Models of NeuralForecast on our windows. What needs the library is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from small_models import mean_before
from torch import Tensor, nn

from elinformer.adapters.neuralforecast import PEERS, PeerForecaster, PeerNetwork, _TrainingPart
from elinformer.data.io.frames import long_frame
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel
from elinformer.data.scaling import Scaler
from elinformer.data.windows import Reach, WindowDataset, window_origins
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


class Recorded(nn.Module):
    """Forecasts the last input, and keeps what it was given."""

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        self.inputs = inputs
        return inputs["insample_y"][:, -1:].repeat(1, HORIZON, 1)


class Watch(pl.Callback):
    """Notes the loss of every validation, and the steps taken until then."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.steps: list[int] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.losses.append(float(trainer.callback_metrics["validation_loss"]))
        self.steps.append(trainer.global_step)


def waves(*, n_steps: int = 80, n_channels: int = 1, observed: float = 1.0) -> Panel:
    """Daily rhythms of 4 series, every channel a hundred times as large as the one before; half are for training."""
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


def test_without_the_library_its_extra_is_named(monkeypatch):
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
def test_settings_that_cannot_be_are_refused_with_or_without_the_library(settings, message):
    with pytest.raises(InputError, match=message):
        PeerForecaster(**{"name": "SOFTS"} | settings)


def test_a_gap_is_filled_with_what_was_observed_before_it_else_next_else_with_zero():
    nan = np.nan
    values = torch.tensor([[1, 2, nan, 4], [nan, 5, nan, nan], [nan, nan, nan, nan]]).T[None, ..., None]
    inner = Recorded()
    PeerNetwork(inner)(values, ~values.isnan())
    assert inner.inputs["insample_y"][0].T.tolist() == [[1, 2, 2, 4], [5, 5, 5, 5], [0, 0, 0, 0]]
    assert inner.inputs["insample_mask"][0].T.tolist() == [[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_every_channel_of_a_series_is_a_series_of_theirs_and_comes_back_to_its_place():
    values = torch.randn(2, WINDOW, 4, 3)
    inner = Recorded()
    forecast = PeerNetwork(inner)(values, torch.ones_like(values, dtype=torch.bool))
    assert inner.inputs["insample_y"].shape == (2, WINDOW, 12)
    assert forecast.equal(values[:, -1:].expand(2, HORIZON, 4, 3))


@needs_library
@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("name", PEERS)
def test_a_forecast_equals_their_own_prediction(name):
    panel = waves()
    peer = make_peer(name).fit(panel)
    network: Any = peer.module.model
    theirs = network.model.predict(their_data(panel, peer.module, 60))
    mean, std = (peer.module.get_buffer(part)[:, 0].numpy() for part in ("mean", "std"))
    with torch.inference_mode():
        ours = peer(windows(panel, [60])[[0]])
    np.testing.assert_allclose(ours[0, ..., 0], theirs.reshape(4, HORIZON).T * std + mean, rtol=1e-5)


@needs_library
@pytest.mark.filterwarnings("ignore")  # theirs
def test_training_gives_the_weights_that_their_own_fit_gives():
    from neuralforecast.models import iTransformer

    panel = waves()
    # Their loader draws windows at random. Without dropout, and with all of its windows in every step (two more than
    # ours: their targets end outside the training part and are masked there), nothing random is left.
    options = NARROW["iTransformer"] | {"dropout": 0.0}
    training = {"epochs": 3, "batch_size": N_TRAIN + 2, "gradient_clip": 1e9, "averaged_epochs": 0.0, "seed": 5}
    peer = make_peer(options=options, **training).fit(panel)
    assert peer.fit_result.best_epoch == 3
    network: Any = peer.module.model
    sizes = {"h": HORIZON, "input_size": WINDOW, "n_series": 4, "max_steps": 3, "windows_batch_size": N_TRAIN + 2}
    quiet = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False}
    theirs = iTransformer(**sizes, **options, random_seed=5, enable_model_summary=False, **quiet)
    theirs.fit(their_data(panel, peer.module, 40))
    torch.testing.assert_close(network.model.state_dict(), theirs.state_dict())


@needs_library
@pytest.mark.parametrize("name", PEERS)
def test_training_takes_our_steps_keeps_the_best_weights_and_leaves_random_numbers_alone(name):
    panel, watch = waves(), Watch()
    before = torch.get_rng_state()
    peer = make_peer(name, options={"learning_rate": 0.1}, epochs=6).fit(panel, callbacks=[watch])
    assert torch.get_rng_state().equal(before)
    assert watch.steps == [2, 4, 6, 8, 10, 12]  # two batches hold the N_TRAIN windows
    result = peer.fit_result
    assert (result.epochs, result.best_epoch) == (6, 1 + int(np.argmin(watch.losses)))
    sums = backtest(peer, windows(panel, window_origins(peer.parts(panel).validation, peer.reach)), peer.batch_size)
    std = peer.module.get_buffer("std").double()
    assert float((sums.absolute / std).sum() / sums.count.sum()) == pytest.approx(min(watch.losses), rel=1e-5)


@needs_library
def test_training_stops_where_patience_ends():
    watch = Watch()
    peer = make_peer(options={"learning_rate": 10.0}, epochs=50, patience=2).fit(waves(), callbacks=[watch])
    assert len(watch.losses) == peer.fit_result.best_epoch + 2 < 50


@needs_library
def test_their_log_of_the_seed_is_not_shown(capfd):
    make_peer().fit(waves())
    assert "Seed set" not in "".join(capfd.readouterr())


@needs_library
def test_a_seed_decides_the_weights():
    panel = waves()
    first, again, other = (make_peer(seed=seed).fit(panel).module.state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert any(not weight.equal(other[name]) for name, weight in first.items())


@needs_library
@pytest.mark.parametrize("name", PEERS)
def test_forecasts_are_finite_and_in_the_units_of_every_channel_with_much_missing(name):
    panel = waves(n_channels=2, observed=0.5)
    peer = make_peer(name, epochs=4).fit(panel)
    batch = windows(panel, range(60, 70))[list(range(10))]
    batch.values[0], batch.mask[0] = torch.nan, False  # nothing at all observed
    with torch.inference_mode():
        forecast = peer(batch)
    assert forecast.shape == (10, HORIZON, 4, 2)
    typical = forecast.mean((0, 1)) / (torch.tensor([1.0, 2.0, 5.0, 10.0])[:, None] * torch.tensor([1.0, 100.0]))
    assert ((typical > 1) & (typical < 5)).all()


@needs_library
def test_series_stay_in_their_order_and_what_is_not_observed_is_no_target_of_theirs():
    panel = waves(n_channels=2, observed=0.8)
    unit = Scaler(np.zeros((4, 2), np.float32), np.ones((4, 2), np.float32))
    temporal = _TrainingPart(panel, 40, unit, N_TRAIN)[[0]]["temporal"]  # (N C, 2, T)
    values, mask = (x[:40].reshape(40, 8).T for x in (panel.values, panel.mask))
    assert (temporal[:, 1].numpy() == mask).all()
    assert (temporal[:, 0].numpy()[mask] == values[mask]).all()
    assert temporal.isfinite().all()


@needs_library
@pytest.mark.parametrize("window_and_patch", [(12, 12), (24, 12), (32, 16), (7, 7), (17, 1)])
def test_patches_of_timexer_leave_no_step_of_the_window_out(window_and_patch):
    window, patch = window_and_patch
    config = TrainingConfig(epochs=1, device="cpu")
    peer = PeerForecaster("TimeXer", window, 3, training=config, options=NARROW["TimeXer"]).fit(waves(n_steps=100))
    network: Any = peer.module.model
    assert network.model.patch_len == patch


@needs_library
@pytest.mark.parametrize("option", ["hiden_size", "max_steps", "scaler_type", "futr_exog_list"])
def test_an_option_that_is_none_of_the_network_or_the_optimiser_is_refused(option):
    with pytest.raises(InputError, match=f"expected options of SOFTS out of hidden_size, .*, got {option}$"):
        make_peer("SOFTS", options={option: 1}).fit(waves())


@needs_library
def test_a_panel_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="expected enough steps for window=6 and horizon=3"):
        make_peer().fit(waves(n_steps=10))


@needs_library
def test_a_peer_that_is_not_trained_forecasts_nothing():
    panel = waves()
    with pytest.raises(InputError, match="expected a trained forecaster"):
        make_peer()(windows(panel, [60])[[0]])


@needs_library
@pytest.mark.slow
def test_a_small_itransformer_beats_the_last_value_on_a_week_of_freeway_speeds(shared_data: Path):
    panel = read_panel(shared_data / "metr_la_week1.npz")
    options = {"hidden_size": 64, "d_ff": 64, "e_layers": 1}
    peer = PeerForecaster("iTransformer", training=TrainingConfig(epochs=4, device="cpu"), options=options).fit(panel)
    parts, reach = peer.parts(panel), Reach(12, 12)
    origins = window_origins(parts.test, reach)
    naive = score_naive(LAST_VALUE, panel, origins, 12, mean_before(panel, parts.train[1])).scores()
    ours = backtest(peer, WindowDataset(panel, None, origins, reach), peer.batch_size).scores()
    assert ours.mae < naive.mae


def their_data(panel: Panel, module: nn.Module, n_steps: int) -> Any:
    """The first steps of a panel of one channel, scaled, as they make them of a data frame."""
    from neuralforecast.tsdataset import TimeSeriesDataset

    scaled = (panel.values[:n_steps] - module.get_buffer("mean").numpy()) / module.get_buffer("std").numpy()
    frame = long_frame(scaled, panel.timestamps[:n_steps], panel.series, panel.channels, column="y")
    return TimeSeriesDataset.from_df(frame)[0]
