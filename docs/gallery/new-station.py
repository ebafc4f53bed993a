"""New series: a forecast for stations that training never saw."""

from elinformer import Forecaster, load_dataset

panel = load_dataset("hangzhou-metro")
old, new = panel.series[:72], panel.series[72:]
fast = {"preset": "fast"}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, training=fast).fit(panel.select(range(72)))  # without 8 of 80 stations

before_test = panel.select(steps=slice(2160))  # the history of all 80, without the test part
grown = forecaster.add_series(before_test, steps=20)  # no weight changes; each new station gets an embedding
print(f"Error to expect: {grown.added['mae']:.1f} passengers")

backtest = grown.backtest(panel)  # the last fifth of the data, all 80 stations
print(f"Test error of the 8 new stations: {backtest.scores(series=new).mae:.1f} passengers")
print(f"Test error of the 72 old stations: {backtest.scores(series=old).mae:.1f} passengers")
verdict = backtest.verdict()
naive = verdict.naives[verdict.best.name].scores(series=range(72, 80)).mae
print(f"The best naive forecast ({verdict.best.name}) of the new stations: {naive:.1f} passengers")
backtest.plot(new[:4], windows=9).savefig("new-station.svg")
