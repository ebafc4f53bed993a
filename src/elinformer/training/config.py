"""Options of training, apart from what the model is."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from elinformer._options import Options, check_names, option, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elinformer.data.windows import WindowDataset


def _unlike_a_seed(seed: int) -> str | None:
    return "a seed below 2**64" if seed >= 1 << 64 else None


def seconds_of(value: Any) -> float | None:
    """Return the seconds of a number, or of text such as "90", "90s", "10m", "1.5h" or "1d"; None if it is no time."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smhd]?)", value.strip()) if isinstance(value, str) else None
    if found is not None:
        value = float(found[1]) * SECONDS[found[2] or "s"]
    seconds = 0.0 if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    return seconds if 0 < seconds < math.inf else None


def _unlike_a_time(value: Any) -> str | None:
    return (
        'time_limit as seconds above 0, or as text such as "90s", "10m" or "1h"' if seconds_of(value) is None else None
    )


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of the units of a time limit."""

BATCH_TOKENS, MIN_BATCH, MAX_BATCH = 1400, 8, 256
"""Tokens of a step, and bounds of its windows, where the batch size is auto."""
PASSES, MIN_STEPS = 30, 200
"""Passes over the windows, and the fewest steps, where the epochs are auto."""
SHOWN_WINDOWS, MAX_STEPS = 20_000, (1000, 2000)
"""As many steps at most as show these windows, within the bounds: a step of many series has few windows."""
FAST = 5
"""Factor by which the preset "fast" has fewer steps."""
MEMBERS = 3
"""Models of the preset "best"."""
VALIDATIONS = 20
CHECKED_SHARE, MIN_CHECKED = 0.25, 256
"""Windows of a validation at most, as a share of those that training sees between two of them, or so many. Windows that
share most of their steps say little more than a part of them."""
REFIT_SHARE, FAST_REFIT_SHARE = 1.0, 1 / 3
"""Steps of the refit, as a share of those that led to the chosen weights; those of the preset "fast"."""
REFIT_RATE = 0.25
"""Peak of its learning rate, as a share of that of training."""
REFIT_WEIGHT = 0.5
"""Weight of the weights after it; the rest is that of the weights before."""
REFIT_PARTS = 10
"""Parts of the refit, for its progress."""


class Budget(NamedTuple):
    """Steps of a training.

    Attributes:
        batch_size: Windows of a step.
        epochs: Validations, each after an epoch.
        averaged_steps: Steps that one epoch of `averaged_epochs` counts.
        steps_per_epoch: Steps between validations; None = one pass over all windows.
        patience: Validations without a better one after which training stops; 0 = never.
        seconds: Time after which training ends at the next validation; 0 = never.
        refit_share: Steps of the refit, as a share of those that led to the chosen weights.
    """

    batch_size: int
    epochs: int
    averaged_steps: int
    steps_per_epoch: int | None
    patience: int
    seconds: float = 0.0
    refit_share: float = REFIT_SHARE

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return self.steps_per_epoch or self.averaged_steps  # those of a pass

    def checked(self, validation: WindowDataset) -> WindowDataset:
        """Return the windows that a validation of this training forecasts: all of them after a pass."""
        if self.steps_per_epoch is None:
            return validation
        seen = self.steps_per_epoch * self.batch_size
        return validation.spread(max(MIN_CHECKED, int(CHECKED_SHARE * seen)))

    def of_refit(self, steps: int, n_windows: int) -> Budget:
        """Return the budget of a refit of so many steps on `n_windows`."""
        part = -(-steps // REFIT_PARTS)
        parts = -(-steps // part)
        return Budget(min(self.batch_size, n_windows), parts, part, part, 0)


@dataclass(frozen=True)
class TrainingConfig(Options):
    """Options of training; one set of defaults for all data."""

    epochs: int | Literal["auto"] = option(
        "auto",
        "Passes over the training windows, with a validation after each; the learning rate anneals to zero over all of "
        "them. auto: 30 passes, but at least 200 steps and at most 1,000, or 2,000 where a step has few windows; with "
        "20 validations.",
        at_least=1,
        flag=True,
    )
    batch_size: int | Literal["auto"] = option(
        "auto",
        "Windows of a training step. auto: 1,400 tokens (series times windows), from 8 to 256 windows.",
        at_least=1,
        flag=True,
    )
    learning_rate: float = option(2e-3, "Peak of the one-cycle schedule of AdamW.", above=0)
    weight_decay: float = option(1e-2, "Weight decay of AdamW, per step and unit of learning rate.", at_least=0)
    preset: Literal["fast", "base", "best"] = option(
        "base",
        "fast: a fifth of the steps of base, where the epochs are auto. best: three models from seeds of their own, "
        "whose forecasts and quantiles are averaged.",
        flag=True,
    )
    time_limit: float | str | None = option(
        None,
        'Seconds that training may take, or text such as "90s", "10m" or "1h". The first steps are timed, and the '
        "schedule is shortened so that training, validation and refit end in time. It does not make them longer.",
        check=_unlike_a_time,
        flag=True,
        compared=False,
    )
    gradient_clip: float = option(1.0, "Largest norm of the gradient.", above=0)
    loss: Literal["quantiles", "absolute"] = option(
        "quantiles",
        "Errors that training lowers: those of the median and of eight quantiles around it (quantiles), or those of "
        "the median alone (absolute). A model with one output has the second.",
        flag=True,
    )
    loss_scale: Literal["channel", "series", "seasonal"] = option(
        "channel",
        "Divisor of errors in the loss: the standard deviation of the channel (all series of a channel have the same "
        "unit), that of each series, or the error of the same time yesterday (seasonal, as in MASE: for series of "
        "different units that matter alike).",
        flag=True,
    )
    patience: int | Literal["auto"] = option(
        "auto",
        "Validations without a better one after which training stops; 0 = never. auto: a fifth of all where the epochs "
        "are auto, else never.",
        at_least=0,
    )
    averaged_epochs: float = option(
        1.0,
        "Epochs over which weights are averaged exponentially, or parts of the training, of which auto epochs have 20; "
        "validation sees the averages and training ends with them. 0 = no averages.",
        at_least=0,
    )
    refit: bool = option(
        True,
        "Whether the chosen weights are then trained further on all data, test part included, for forecasts. Scores "
        "stay those of the weights that have not seen the test part.",
        flag=True,
        compared=False,
    )
    seed: int = option(
        0,
        "Seed of weights, order of windows and dropout.",
        at_least=0,
        check=_unlike_a_seed,
        flag=True,
        compared=False,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option(
        "auto", "Device that training runs on.", flag=True, compared=False
    )
    precision: Literal["auto", "32-true", "bf16-mixed"] = option(
        "auto",
        "bf16-mixed computes the products of training steps in bfloat16, twice as fast on processors that have it; "
        "weights, validation and forecasts stay in float32. auto: where the processor has it.",
        flag=True,
    )
    tokens_at_once: int = option(
        50_000,
        "Series times windows (times patches) that are held in memory together; a larger batch is cut into "
        "micro-batches whose gradients are added.",
        at_least=1,
        compared=False,
    )
    series_at_once: int = option(
        0,
        "Series whose gradient is held in memory together, drawn at random for every micro-batch; they see the others "
        "summarised. 0 = all.",
        at_least=0,
    )
    logger: Literal["tensorboard", "csv"] | None = option(
        None, "Format in which curves of the training are written.", flag=True, compared=False
    )
    log_dir: str = option(
        "logs", "Folder of these curves: a folder inside that of the run, where there is a run.", compared=False
    )
    checkpoint_minutes: float = option(
        2.0,
        "Minutes between checkpoints; more on slow disks, so that checkpoints take at most 1 % of the time. 0 = a "
        "checkpoint before every step.",
        at_least=0,
        compared=False,
    )

    @classmethod
    def of(cls, options: Mapping[str, Any], **others: Any) -> TrainingConfig:
        """Make one from options by name, as a settings file has them, and `others`, which win."""
        check_names(options, rows(cls), "training options")
        return cls(**{**options, **others})

    def budget(self, n_windows: int, tokens_per_window: int) -> Budget:
        """Return the steps of a training on `n_windows` windows of `tokens_per_window` tokens."""
        batch_size, is_fast = self.batch_size, self.preset == "fast"
        share = FAST_REFIT_SHARE if is_fast else REFIT_SHARE
        if isinstance(batch_size, str):
            batch_size = min(n_windows, MAX_BATCH, max(MIN_BATCH, BATCH_TOKENS // tokens_per_window))
        pass_steps = -(-n_windows // batch_size)
        if not isinstance(self.epochs, str):
            patience = 0 if isinstance(self.patience, str) else self.patience
            return Budget(batch_size, self.epochs, pass_steps, None, patience, refit_share=share)
        at_most = min(MAX_STEPS[1], max(MAX_STEPS[0], SHOWN_WINDOWS // batch_size))
        steps = min(at_most, max(MIN_STEPS, PASSES * pass_steps)) // (FAST if is_fast else 1)
        patience = VALIDATIONS // 5 if isinstance(self.patience, str) else self.patience
        part = -(-steps // VALIDATIONS)
        averaged = min(part, pass_steps)
        return Budget(min(batch_size, n_windows), VALIDATIONS, averaged, part, patience, refit_share=share)

    @property
    def seconds_allowed(self) -> float | None:
        """Time limit in seconds; None = none."""
        return None if self.time_limit is None else seconds_of(self.time_limit)

    @property
    def n_members(self) -> int:
        """Number of models that are trained, and averaged."""
        return MEMBERS if self.preset == "best" else 1

    def of_member(self, number: int) -> TrainingConfig:
        """Return the options of one of the models: with its own seed, and its share of the time."""
        seconds = self.seconds_allowed
        share = None if seconds is None else seconds / self.n_members
        return replace(self, seed=(self.seed + number) % (1 << 64), time_limit=share)

    def micro_batches(self, batch_size: int, tokens_per_window: int) -> int:
        """Return in how many micro-batches a batch is computed."""
        return min(batch_size, -(-batch_size * tokens_per_window // self.tokens_at_once))
