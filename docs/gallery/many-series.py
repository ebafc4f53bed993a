"""Many series: 2,000 sensors of a freeway, one model."""

import time

import numpy as np

from elinformer import Forecaster, simulate_freeway

panel = simulate_freeway(2000, 3 * 96, freq="15min")  # three days; a panel of your own works the same
print(panel)
fast = {"preset": "fast"}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=4, training=fast).fit(panel)
backtest = forecaster.backtest()
print(backtest)

started = time.perf_counter()
whole = forecaster.predict()
seconds = time.perf_counter() - started
parts = forecaster.predict(series_at_once=500)  # four partitions, which see each other: less memory, the same forecast
difference = np.abs(whole.filter(like="elinformer") - parts.filter(like="elinformer")).to_numpy().max()
print(f"All 2,000 sensors in {seconds:.1f} s; in partitions of 500 the largest difference is {difference:.0e}")

backtest.plot("worst", n=4, channel="speed_mph", windows=9).savefig("many-series.svg")
