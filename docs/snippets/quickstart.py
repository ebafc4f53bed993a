"""The code of docs/quickstart.md."""

import pandas as pd

from elinformer import Forecaster, load_dataset
from elinformer.training import TrainingConfig

panel = load_dataset("nyc-airports")  # or read_panel("speeds.csv", null_value=0.0), or a data frame

forecaster = Forecaster(
    window=24,
    horizon=12,
    model={"n_layers": 1, "window_width": 16},  # small, for a page of documentation
    training=TrainingConfig(epochs=1, loss_scale="seasonal"),
)
forecaster.fit(panel)

forecast = forecaster.predict()  # unique_id, ds, elinformer
scores = forecaster.backtest()  # sums and counts over the test part
print(scores.scores())  # MAE, RMSE, MAPE over everything
print(scores.scores(step=0, series=[0, 1, 2]))  # the first step, the first three series

forecaster.save("run")
again = Forecaster.load("run")
pd.testing.assert_frame_equal(again.predict(panel), forecast)
