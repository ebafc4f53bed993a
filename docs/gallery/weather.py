"""Weather: six measurements at 25 stations."""

from elinformer import Forecaster, load_dataset

panel = load_dataset("irish-weather").select(steps=slice(-2400, None))  # the last 100 days of 2017, hourly
fast = {"preset": "fast"}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, training=fast).fit(panel)

backtest = forecaster.backtest()
print(backtest)
print(backtest.scores(by="channel")[["channel", "mae", "rmse"]].to_string(index=False, float_format="{:.2f}".format))
print(f"Error / error of the best naive forecast: {backtest.verdict().ratio.mean:.2f}")

stations = list(panel.series[:2])
backtest.plot(stations, channel="temp", windows=8).savefig("weather-temperature.svg")
backtest.plot(stations, channel="wdsp", windows=8).savefig("weather-wind.svg")
