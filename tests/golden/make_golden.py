"""Makes the golden files of the forecaster anew: `make golden`. Read the diff before you commit it.

loss_curve.json     the losses of 20 training steps
metrics.json        what the forecaster trained by them, and the naive forecasts, score on the test part
tiny_run/           the folder of a run
tiny_run.json       a history, and what that folder forecasts from it
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elinformer import Forecaster, Panel, simulate_freeway
from elinformer.evaluation import naives_for, score_naives
from elinformer.training import TrainingConfig

GOLDEN = Path(__file__).parent
RUN = "tiny_run"
N_LOSSES = 20

MODEL = {"window_width": 8, "series_width": 4, "calendar_width": 2, "n_layers": 2, "n_heads": 2}
TRAINING = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-2, device="cpu", precision="32-true", seed=0)


def golden_panel() -> Panel:
    """The simulated panel that everything here is trained on."""
    return simulate_freeway(10, 560, 0, freq="15min")


def train(panel: Panel) -> tuple[Forecaster, list[float]]:
    """A tiny forecaster, and the losses of its first steps."""
    with tempfile.TemporaryDirectory() as folder:
        training = replace(TRAINING, logger="csv", log_dir=folder)
        forecaster = Forecaster(6, 3, lags=(8,), model=MODEL, training=training).fit(panel)
        log = pd.read_csv(Path(folder) / "version_0" / "metrics.csv")
    forecaster.training = TRAINING  # the folder of the log is no part of the run
    return forecaster, log["loss"].dropna().tolist()[:N_LOSSES]


def scores(forecaster: Forecaster, panel: Panel) -> dict[str, Any]:
    """The table of metrics: the forecaster and the naive forecasts on the test part."""
    split = forecaster.split_panel(panel)
    origins = split.origins("test")
    sums = {"elinformer": forecaster.backtest(panel)}
    naives = naives_for(panel, split.split.train[1])
    sums |= score_naives(naives, panel, origins, split.reach.horizon, split.moments.mean)
    return {name: each.report(panel.channels) for name, each in sums.items()}


def stored_forecast(forecaster: Forecaster, panel: Panel) -> dict[str, Any]:
    """The panel's last window and the forecast from it, as JSON."""
    history = Panel.from_arrays(
        panel.values[-forecaster.reach.usable_history :],
        timestamps=panel.timestamps[-forecaster.reach.usable_history :],
        freq=panel.freq,
        series=panel.series,
        channels=panel.channels,
    )
    frame = forecaster.predict(history)
    return {
        "start": str(history.timestamps[0]),
        "freq": history.freq,
        "series": history.series,
        "channels": history.channels,
        "values": np.where(history.mask, history.values, None).tolist(),
        "forecast": frame.drop(columns=["unique_id", "ds"]).to_numpy().tolist(),
    }


def main() -> None:
    """Write all golden files."""
    panel = golden_panel()
    forecaster, losses = train(panel)
    documents: dict[str, Any] = {"loss_curve": losses, "metrics": scores(forecaster, panel)}
    forecaster.trained.model.set_sharpness(0.7)  # or a version that forgets it would not be found out
    forecaster.save(GOLDEN / RUN)
    documents[RUN] = stored_forecast(forecaster, panel)
    for name, document in documents.items():
        text = json.dumps(document, indent=None if name == RUN else 1, allow_nan=False)
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
