"""Forecast with the public holidays of a place."""

import numpy as np
import pandas as pd

from elinformer import Forecaster

rng = np.random.default_rng(0)
days = pd.date_range("2023-01-01", "2023-12-23", name="time")
sales = 20 + rng.normal(size=(len(days), 3)) + 5 * (days.day_of_week > 4)[:, None]
shops = pd.DataFrame(sales, days, columns=["north", "south", "east"])

forecaster = Forecaster(window=14, horizon=7, holidays="US-NY", model={"n_layers": 1}, training={"epochs": 2})
forecaster.fit(shops.reset_index()).predict()  # Christmas is known ahead: nothing else is passed
