"""Life with data: new rows, without and with training, longer forecasts, gaps and unusual readings."""

import numpy as np
import pandas as pd

from elinformer import Forecaster

hours = pd.date_range("2024-03-04", periods=720, freq="h", name="ds")
noise = np.random.default_rng(0).normal(0, 3, (720, 3))
sales = 50 + 20 * np.sin(2 * np.pi * hours.hour.to_numpy() / 24)[:, None] + noise
wide = pd.DataFrame(sales, index=hours, columns=["north", "south", "west"])
long = wide.melt(ignore_index=False, var_name="unique_id", value_name="y").reset_index()
old, new = long[long["ds"] < "2024-03-29"], long[long["ds"] >= "2024-03-29"]

small = {"n_layers": 1, "window_width": 16}  # for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, model=small, training={"epochs": 1}).fit(old)

today = forecaster.update(new)  # nothing is trained; rows that contradict the data are refused
print(today.predict())  # the steps after the new rows
print(today.predict(horizon=36, recursive=True))  # longer than trained: forecasts from forecasts
print(today.backtest(horizon=36, recursive=True).scores("horizon"))  # their errors

tuned = forecaster.finetune(new, steps=20)  # goes on from the weights; new series are taken along
print(tuned.finetuning)  # errors on old and new rows, before and after

gaps = long[np.random.default_rng(1).random(len(long)) > 0.1]
print(tuned.fill(gaps).query("filled"))  # missing values, estimated
print(tuned.anomalies(long, level=99.5))  # readings outside of the usual errors, the farthest first
