"""The code of docs/intervals.md."""

from elinformer import Forecaster, load_dataset
from elinformer.training import TrainingConfig

panel = load_dataset("nyc-airports")
panel = panel.select([i for i, name in enumerate(panel.series) if name.startswith("departures/")])  # three airports
forecaster = Forecaster(24, 12, model={"n_layers": 1, "window_width": 16}, training=TrainingConfig(epochs=1)).fit(panel)

forecast = forecaster.predict(level=[80, 95])  # unique_id, ds, elinformer, elinformer-lo-95, ... elinformer-hi-95
quantiles = forecaster.predict(quantiles=[0.1, 0.9])  # elinformer-q-10, elinformer-q-90

scenarios = forecaster.predict(scenarios=200, seed=0).set_index(["unique_id", "ds"]).filter(like="-scenario-")
total = scenarios.groupby("ds").sum()  # departures of all airports together, every hour, in every scenario
print(total.quantile([0.1, 0.9], axis=1).T)  # its 80 % interval
busiest = scenarios.groupby("unique_id").max()  # departures of each airport in its busiest hour
print(busiest.quantile([0.1, 0.9], axis=1).T)

scores = forecaster.backtest().intervals  # sums over the test windows
print(scores.report()["coverage"], scores.coverage(80).min())  # by level; the lowest of any airport
