"""The code of docs/explain.md."""

from elinformer import Forecaster, simulate_freeway

panel = simulate_freeway(12, 400, freq="15min")
forecaster = Forecaster(window=8, horizon=4, training={"epochs": 1}).fit(panel)  # short, for a page of documentation
explanation = forecaster.explain(panel.series[2], step=3)
print(explanation)
print(explanation.series(top=3))  # its own values, and the two series that moved it most
explanation.plot().savefig("why.png")
