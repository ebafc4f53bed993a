"""Add series that a forecaster was not trained on."""

from elinformer import Forecaster, Panel, simulate_freeway
from elinformer.training import TrainingConfig

panel = simulate_freeway(12, 600, freq="15min")
ten = Panel.from_arrays(
    panel.values[:, :10],
    timestamps=panel.timestamps,
    freq=panel.freq,
    series=panel.series[:10],
    channels=panel.channels,
)
training = TrainingConfig(epochs=1)  # short, for a page of documentation
forecaster = Forecaster(window=12, horizon=12, model={"n_layers": 1, "window_width": 16}, training=training)
forecaster.fit(ten)

grown = forecaster.add_series(panel)  # the history of all twelve
print(grown.added["series"])  # the last two
print(grown.added["mae"], grown.added["naive"])  # the error to expect, and that of naive forecasts
grown.predict(panel)
grown.save("grown")
