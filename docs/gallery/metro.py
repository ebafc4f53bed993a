"""Metro: passengers who enter 80 stations."""

from elinformer import Forecaster, load_dataset

panel = load_dataset("hangzhou-metro")  # 10-minute steps, from 6 o'clock to midnight
fast = {"preset": "fast", "refit": False}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, training=fast).fit(panel)

backtest = forecaster.backtest()
print(backtest)
by_hour = backtest.scores(by="hour").set_index("hour")["mae"]
print(f"Error by hour: 6 o'clock {by_hour[6]:.1f}, 8 o'clock {by_hour[8]:.1f}, 22 o'clock {by_hour[22]:.1f} passengers")

forecast = forecaster.predict(level=[80, 95])  # the two hours after the end of the data
print(forecast.head(3).to_string(index=False, float_format="{:.0f}".format))

scenarios = forecaster.predict(scenarios=200).set_index(["unique_id", "ds"]).filter(like="-scenario-")
city = scenarios.groupby("ds").sum()  # all stations together, every 10 minutes, in each scenario
print(city.quantile([0.1, 0.5, 0.9], axis=1).T.head(3).round(0))  # an 80 % interval of the sum

busiest = [int(i) for i in panel.values[..., 0].mean(0).argsort()[::-1][:4]]
backtest.plot(busiest, windows=9).savefig("metro.svg")
