"""Train into a run folder, and resume a run that was killed."""

from pathlib import Path

from elinformer import Forecaster, InputError, simulate_freeway
from elinformer.training import TrainingConfig

panel = simulate_freeway(10, 600, freq="15min")
training = TrainingConfig(epochs=1, checkpoint_minutes=0)  # before every step; two minutes are the default
forecaster = Forecaster(window=12, horizon=12, model={"n_layers": 1, "window_width": 16}, training=training)

forecaster.fit(panel, run="run")  # the folder exists from the first step on, with checkpoints
print(sorted(path.name for path in Path("run").iterdir()))  # ['checkpoints', 'config.json']

# After a kill, this continues from the newest checkpoint and ends with the same weights:
forecaster = Forecaster.resume("run", panel)
forecaster.save("run")  # finishes the folder and removes the checkpoints

try:
    Forecaster.resume("run", panel)
except InputError as error:
    print(error)  # expected an unfinished run, but run is finished: ...
