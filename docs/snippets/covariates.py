"""Forecast with covariates that are known ahead."""

import numpy as np

from elinformer import Forecaster, Panel
from elinformer.training import TrainingConfig

rng = np.random.default_rng(0)
temperature = rng.normal(size=(500 + 6, 1)).cumsum(0) * 0.1 + rng.normal(size=(506, 8))  # 8 towns, 6 hours ahead
closed = (rng.random(506) < 0.1).astype(float)  # the same for all towns
demand = 20 + 3 * temperature[:500] - 5 * closed[:500, None] + rng.normal(size=(500, 8))
panel = Panel.from_arrays(
    demand,
    start="2024-01-01",
    freq="1h",
    future={"temperature": temperature, "closed": closed},
    static={"height": rng.random(8), "kind": ["coast", "inland"] * 4},
)
training = TrainingConfig(epochs=2)  # short, for a page of documentation
forecaster = Forecaster(window=12, horizon=6, model={"n_layers": 1}, training=training).fit(panel)
forecaster.predict()  # the panel knows the covariates of the next 6 hours
