"""Covariates in data frames."""

import numpy as np
import pandas as pd

from elinformer import Forecaster

rng = np.random.default_rng(0)
times = pd.date_range("2024-01-01", periods=300, freq="h")
stations = [pd.DataFrame({"unique_id": name, "ds": times, "temp": rng.normal(size=300)}) for name in ("a", "b")]
table = pd.concat(stations).assign(y=lambda rows: 5 + 2 * rows["temp"])
history, ahead = table[table["ds"] < "2024-01-13"], table[table["ds"] >= "2024-01-13"]
heights = pd.DataFrame({"unique_id": ["a", "b"], "height": [12, 80], "kind": ["coast", "inland"]})

forecaster = Forecaster(window=12, horizon=6, model={"n_layers": 1}, training={"epochs": 2})
forecaster.fit(history, futr_exog_list=["temp"], static_df=heights)
forecaster.predict(futr_df=ahead[["unique_id", "ds", "temp"]])  # a row for each series and step of the horizon
