"""The code of docs/new_series.md, for series without history."""

import numpy as np
import pandas as pd

from elinformer import Forecaster, simulate_freeway

panel = simulate_freeway(12, 400, freq="15min")
names = [*panel.series, "planned"]  # a sensor that does not exist yet
features = pd.DataFrame({"unique_id": names, "mile": np.arange(13.0), "kind": ["main", "ramp"] * 6 + ["main"]})
forecaster = Forecaster(window=8, horizon=4, training={"epochs": 1}).fit(panel)  # short, for a page of documentation

grown = forecaster.add_series(features=features)
print(grown.added["left_out"], grown.added["naive"])  # the error to expect, and that of the mean of the other series
grown.predict()  # has "planned" too
