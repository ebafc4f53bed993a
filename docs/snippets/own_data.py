"""Own data: from a file to a forecast, its scores and a picture."""

import numpy as np
import pandas as pd

from elinformer import Forecaster

hours = pd.date_range("2024-03-04", periods=600, freq="h", name="ds")  # a file of your own, made up here
noise = np.random.default_rng(0).normal(0, 3, (600, 3))
sales = 50 + 20 * np.sin(2 * np.pi * hours.hour.to_numpy() / 24)[:, None] + noise
wide = pd.DataFrame(sales, index=hours, columns=["north", "south", "west"])
wide.melt(ignore_index=False, var_name="unique_id", value_name="y").to_csv("sales.csv")

frame = pd.read_csv("sales.csv", parse_dates=["ds"])  # a row for each series and time, in any order

small = {"n_layers": 1, "window_width": 16}  # for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, model=small, training={"epochs": 1})
forecaster.fit(frame)
print(forecaster.predict(level=80))  # unique_id, ds, elinformer, elinformer-lo-80, elinformer-hi-80

backtest = forecaster.backtest()  # all windows of the test part
print(backtest)  # windows and scores
print(backtest.scores(by="series"))  # also by horizon, channel, weekday and hour
print(backtest.frame())  # forecasts beside what happened
backtest.plot("worst").savefig("worst.png")
forecaster.plot(series=["north"]).savefig("north.png")

folds = forecaster.cross_validation(frame, n_windows=2, step_size=24)  # refit=True trains before each window
print(folds)  # unique_id, ds, cutoff, y, elinformer
forecaster.save("run")
