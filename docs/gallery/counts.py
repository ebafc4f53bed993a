"""Counts: taxi trips between 80 pairs of zones, most of them rare."""

import numpy as np

from elinformer import Forecaster, load_dataset

panel = load_dataset("nyc-taxi").select(range(80))  # trips an hour between two zones
print(f"{(panel.values == 0).mean():.0%} of the values are zero")
fast = {"preset": "fast", "refit": False}  # a fifth of the steps, for a page of documentation; leave it out
forecaster = Forecaster(horizon=12, training=fast).fit(panel)
backtest = forecaster.backtest()
print(backtest)

inside, medians, means, totals = [], 0.0, 0.0, 0.0
for end in range(panel.n_steps - 12 * 12, panel.n_steps, 12):  # the last six days, 12 hours at a time
    forecast = forecaster.predict(panel.select(steps=slice(end)), scenarios=100)
    total = float(panel.values[end : end + 12].sum())  # what happened
    sums = forecast.filter(like="-scenario-").sum()  # the total of all pairs and hours, in each scenario
    low, high = np.quantile(sums, [0.1, 0.9])
    inside.append(low <= total <= high)
    medians, means, totals = medians + forecast["elinformer"].sum(), means + sums.mean(), totals + total
print(f"Total of six days: {totals:,.0f} trips; medians add up to {medians:,.0f}, means of scenarios to {means:,.0f}")
print(f"The 80 % interval of the total of 12 hours held in {sum(inside)} of {len(inside)} cases")

ranks = panel.values[..., 0].mean(0).argsort()[::-1]
backtest.plot([int(ranks[i]) for i in (0, 5, 20, 40)], windows=6).savefig("counts.svg")
