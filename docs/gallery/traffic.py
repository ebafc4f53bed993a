"""Traffic: the speed at 100 sensors for the next hour."""

from elinformer import Forecaster, load_dataset

panel = load_dataset("metr-la").select(range(100), slice(2016))  # a week of 5-minute steps
fast = {"preset": "fast", "refit": False}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, training=fast).fit(panel)  # 12 steps are an hour

backtest = forecaster.backtest()  # every window of the last fifth of the week, which training never saw
print(backtest)
verdict = backtest.verdict()
print(f"Error / error of the best naive forecast ({verdict.best.name}): {verdict.ratio.mean:.2f}")
by_horizon = backtest.scores(by="horizon").set_index("horizon")["mae"]
print(f"Error 5, 30 and 60 minutes ahead: {by_horizon[1]:.2f}, {by_horizon[6]:.2f}, {by_horizon[12]:.2f} miles an hour")
coverage = backtest.intervals.report()["coverage"]
print(f"The intervals of 80 and 95 % cover {coverage['80']:.1%} and {coverage['95']:.1%} of the values")

backtest.plot("worst", n=4, windows=8).savefig("traffic.svg")
