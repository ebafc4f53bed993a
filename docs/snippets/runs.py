"""Train into a run folder, and go on with a run that was killed."""

from pathlib import Path

from elinformer import Forecaster, InputError, simulate_freeway
from elinformer.training import TrainingConfig

panel = simulate_freeway(10, 600, freq="15min")
training = TrainingConfig(epochs=1, checkpoint_minutes=0)  # before every step; two minutes are the default
forecaster = Forecaster(window=12, horizon=12, model={"n_layers": 1, "window_width": 16}, training=training)

forecaster.fit(panel, run="run")  # the folder is there from before the first step, with checkpoints as training goes
print(sorted(path.name for path in Path("run").iterdir()))  # ['checkpoints', 'config.json']

# Had it been killed, this would go on from the newest checkpoint and end with the same weights:
forecaster = Forecaster.resume("run", panel)
forecaster.save("run")  # finishes the folder, the checkpoints go

try:
    Forecaster.resume("run", panel)
except InputError as error:
    print(error)  # expected an unfinished run, but run is finished: ...
