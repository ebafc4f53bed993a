"""Fine-tuning: training goes on from the weights, on new rows and on some of the old ones.

Half of the windows of a step are old ones, so that the model keeps what it knew. The result is a mean of the weights
before and after: the share of the new weights is the largest one that costs at most half a percent on the old
validation windows. The errors to expect are measured first, without the old test windows and the last fifth of the new
ones; then the same steps are taken with all windows. Intervals are calibrated on the newest windows that the first
steps did not see.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elinformer.data.reach import chronological_split, window_origins
from elinformer.data.windows import WindowDataset
from elinformer.errors import InputError
from elinformer.evaluation import targets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.trained_model import TrainedModel

STEPS = 200
"""Default number of optimiser steps."""
BATCH_SIZE = 16
RATE_SHARE = 0.25
"""Peak of the learning rate, as a share of that of training."""
HELD_OUT_SHARE = 0.2
"""Share of the new windows, at their end, that errors are measured on."""
MAX_SCORED_WINDOWS = 256
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1)
"""Shares of the new weights that are tried."""
ALLOWED = 1.005
"""Ratio of the error on the old validation windows after fine-tuning to that before, at most."""


@dataclass(frozen=True)
class FineTuning:
    """Errors of a fine-tuning: mean absolute errors in units of the standard deviation of each series.

    Attributes:
        steps: Number of optimiser steps.
        share: Share of the new weights in the result.
        old_before: Error on the test windows of the old data, before.
        old_after: The same, after.
        new_before: Error on the last fifth of the new windows, before.
        new_after: The same, after steps on the new windows before them.
    """

    steps: int
    share: float
    old_before: float
    old_after: float
    new_before: float
    new_after: float

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return asdict(self)


@dataclass(frozen=True)
class _Origins:
    """First target steps of windows, by their part: of the old data, and of the new rows."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    new: np.ndarray
    held_out: np.ndarray


def finetuned(
    trained: TrainedModel, panel: Panel, n_old: int, split: Sequence[float], *, steps: int = STEPS, seed: int = 0
) -> tuple[TrainedModel, FineTuning]:
    """Return a trained model that went on with new rows, and its errors; see `Forecaster.finetune`.

    Args:
        trained: The model before, which does not change.
        panel: Old and new rows, with the series of the model in their order.
        n_old: Number of old steps.
        split: Fractions of the old steps for training, validation and test.
        steps: Number of optimiser steps, of 16 windows each.
        seed: Seed of the order of windows.

    Raises:
        InputError: The new rows have too few windows, or no step is asked for.
    """
    if steps < 1:
        raise InputError(f"expected at least one step, got steps={steps}")
    origins = _origins(trained, panel, n_old, split)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        scored = _Learner(trained, panel)
        first = scored.learn(origins.train, origins.new, steps)
        share, model = scored.kept(first, origins.validation)
        errors = [scored.error(each, part) for part in (origins.test, origins.held_out) for each in (trained, model)]
        last = scored.learn(
            window_origins((0, n_old), trained.reach), np.concatenate([origins.new, origins.held_out]), steps
        )
    unseen = np.concatenate([origins.validation, origins.test, origins.held_out])  # by `model`
    calibration = model.calibrated(panel, unseen[-len(origins.validation) :]).calibration
    return scored.mixed(last, share).replaced(calibration=calibration), FineTuning(steps, share, *errors)


def _origins(trained: TrainedModel, panel: Panel, n_old: int, split: Sequence[float]) -> _Origins:
    train, validation, test = (window_origins(part, trained.reach) for part in chronological_split(n_old, split))
    new = window_origins((n_old, panel.n_steps), trained.reach)
    n_held_out = max(1, round(HELD_OUT_SHARE * len(new)))
    learned = new[: max(0, len(new) - n_held_out - trained.reach.horizon + 1)]  # targets that no held out window has
    if not len(learned):
        least = trained.reach.horizon * 2
        raise InputError(
            f"expected at least {least} new steps to learn from and to measure on, got {panel.n_steps - n_old}: call "
            "update to forecast from them without training"
        )
    return _Origins(train, validation, test, learned, new[-n_held_out:])


class _Learner:
    """Training from the weights of a model, and errors of the results."""

    def __init__(self, trained: TrainedModel, panel: Panel) -> None:
        self._trained, self._panel = trained, panel
        self._scale = trained.scaled.std

    def learn(self, old: np.ndarray, new: np.ndarray, steps: int) -> TrainedModel:
        """Return a model after steps on batches of which half are old windows."""
        result = self._trained.replaced(model=copy.deepcopy(self._trained.model), refitted=None)
        parameters = [p for p in result.model.parameters() if p.requires_grad]
        training = self._trained.config["training"]
        rate = RATE_SHARE * training["learning_rate"]
        optimizer = torch.optim.AdamW(parameters, rate, weight_decay=training["weight_decay"])
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1)
        size = max(1, min(BATCH_SIZE, self._trained.batch_size) // 2)
        windows = [self._windows(origins) for origins in (old, new) if len(origins)]
        result.scaled.train()
        for _ in range(steps):
            optimizer.zero_grad()
            for part in windows:
                loss = self._loss(result, part[torch.randint(len(part), (size,)).tolist()])
                (loss / len(windows)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, training["gradient_clip"])
            optimizer.step()
            schedule.step()
        result.scaled.eval()
        return result

    def kept(self, tuned: TrainedModel, validation: np.ndarray) -> tuple[float, TrainedModel]:
        """Return the largest share of the new weights that keeps the error on the old windows, and the model of it."""
        allowed = ALLOWED * self.error(self._trained, validation)
        for share in SHARES:
            model = self.mixed(tuned, share)
            if self.error(model, validation) <= allowed:
                return share, model
        return 0.0, self._trained

    def mixed(self, tuned: TrainedModel, share: float) -> TrainedModel:
        """Return a model whose weights are a mean of those before and those of `tuned`."""
        model = copy.deepcopy(tuned.model)
        before, after = self._trained.model.state_dict(), tuned.model.state_dict()
        mean = {name: torch.lerp(before[name], x, share) if x.is_floating_point() else x for name, x in after.items()}
        model.load_state_dict(mean)
        return tuned.replaced(model=model)

    def error(self, model: TrainedModel, origins: np.ndarray) -> float:
        """Return the mean absolute error of the windows in units of the standard deviation of each series."""
        sums = model.scores(self._panel, origins[:: -(-len(origins) // MAX_SCORED_WINDOWS)])
        return float((sums.absolute.sum(0) / self._scale.cpu().double()).sum() / sums.count.sum())

    def _windows(self, origins: np.ndarray) -> WindowDataset:
        return WindowDataset(self._panel, self._trained.info.calendar, origins, self._trained.reach)

    def _loss(self, model: TrainedModel, batch: Any) -> Tensor:
        target, mask = targets_of(batch)
        return model.loss.total(model.scaled(batch), target, mask, self._scale) / mask.sum().clamp_min(1)
