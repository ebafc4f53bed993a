"""Gaps: fill what sensors of three airports did not record."""

import numpy as np
from matplotlib.figure import Figure

from elinformer import Forecaster, Panel, load_dataset

panel = load_dataset("nyc-airports").select(steps=slice(3000))  # hourly; a quarter of the values is missing
rng = np.random.default_rng(0)
hidden = np.zeros(panel.mask.shape, bool)
for start in rng.integers(0, panel.n_steps - 24, 120):  # hide 120 blocks of up to a day, to know what was there
    hidden[start : start + rng.integers(1, 25), rng.integers(panel.n_series)] = True
hidden &= panel.mask
gappy = Panel.from_arrays(
    panel.values, mask=panel.mask & ~hidden, timestamps=panel.timestamps, freq=panel.freq, series=panel.series
)

fast = {"preset": "fast", "refit": False, "loss_scale": "seasonal"}  # a fifth of the steps; leave it out
forecaster = Forecaster(horizon=12, training=fast).fit(gappy)
filled = forecaster.fill(gappy)  # a panel without missing values

line = np.empty_like(panel.values)
for i in range(panel.n_series):  # for comparison: a straight line between the readings beside the gap
    known = np.flatnonzero(gappy.mask[:, i, 0])
    line[:, i, 0] = np.interp(np.arange(panel.n_steps), known, gappy.values[known, i, 0])

scale = np.nanstd(gappy.values, axis=0)
for name, values in (("fill", filled.values), ("a straight line", line)):
    print(f"{name}: mean error {np.mean((np.abs(values - panel.values) / scale)[hidden]):.3f} standard deviations")
unusual = forecaster.anomalies()[["unique_id", "ds", "y", "expected", "low", "high"]]  # the farthest first
print(unusual.head(3).to_string(index=False, float_format="{:.1f}".format))

airport = panel.series.index("temperature/JFK")
start = int(np.flatnonzero(hidden[:, airport, 0])[0]) - 48  # two days before its first hidden reading
hours = slice(start, start + 120)
figure = Figure(figsize=(9, 3), layout="constrained")
axis = figure.subplots()
axis.plot(panel.timestamps[hours], np.where(hidden, panel.values, np.nan)[hours, airport, 0], "k.", label="hidden")
axis.plot(panel.timestamps[hours], filled.values[hours, airport, 0], color="#d95f02", label="filled")
axis.plot(panel.timestamps[hours], gappy.values[hours, airport, 0], color="#4d4d4d", label="given")
axis.set_title("Temperature at JFK, degrees Fahrenheit", loc="left", fontsize=10)
axis.legend(frameon=False, ncols=3)
figure.savefig("gaps.svg")
