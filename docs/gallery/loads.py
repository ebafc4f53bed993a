"""Loads: electricity in ten zones, with public holidays."""

import numpy as np
import pandas as pd

from elinformer import Forecaster, read_panel

panel = read_panel("pjm_load.npz").select(steps=slice(-3 * 8760, None))  # hourly, three years
fast = {"preset": "fast", "refit": False}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=24, holidays="US", training=fast).fit(panel)  # the dates are computed, also ahead

backtest = forecaster.backtest()  # the last fifth: from the end of December 2017 on
print(backtest)
frame = backtest.frame(level=80)
error = (frame["y"] - frame["elinformer"]).abs() / frame["y"]
day = frame["ds"].dt.normalize()
for name, chosen in {
    "all days": day.notna(),
    "Sundays": day.dt.day_name() == "Sunday",
    "1 January, 28 May and 4 July": day.isin(pd.to_datetime(["2018-01-01", "2018-05-28", "2018-07-04"])),
}.items():
    inside = frame["y"].between(frame["elinformer-lo-80"], frame["elinformer-hi-80"])
    print(f"{name}: error {error[chosen].mean():.2%}, in the 80 % interval {inside[chosen].mean():.0%}")

midnight = int(np.searchsorted(panel.timestamps, np.datetime64("2018-07-04")))
forecast = forecaster.predict(panel.select(steps=slice(midnight)), level=80)  # made at midnight before 4 July
print(forecast.query("unique_id == 'PJME'").head(3).to_string(index=False, float_format="{:.0f}".format))
backtest.plot(["PJME", "COMED"], windows=7).savefig("loads.svg")
