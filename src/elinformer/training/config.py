"""Options of training, apart from what the model is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from elinformer._options import Options, check_names, option, rows

if TYPE_CHECKING:
    from collections.abc import Mapping


def _unlike_a_seed(seed: int) -> str | None:
    return "a seed below 2**64" if seed >= 1 << 64 else None


@dataclass(frozen=True)
class TrainingConfig(Options):
    """Options of training; one set of defaults for all data."""

    epochs: int = option(
        30,
        "Passes over the training windows. The learning rate anneals to zero over all of them.",
        at_least=1,
        flag=True,
    )
    batch_size: int = option(16, "Windows of a training step.", at_least=1, flag=True)
    learning_rate: float = option(2e-3, "Peak of the one-cycle schedule of AdamW.", above=0)
    weight_decay: float = option(1e-2, "Weight decay of AdamW, per step and unit of learning rate.", at_least=0)
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
    patience: int = option(
        0,
        "Validations without a better one after which training stops; 0 = never. Where it is set, the learning rate "
        "stays constant after the warm-up, as a schedule that is cut short does not anneal.",
        at_least=0,
    )
    averaged_epochs: float = option(
        1.0,
        "Epochs over which weights are averaged exponentially; validation sees the averages and training ends with "
        "them. 0 = no averages.",
        at_least=0,
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
    precision: Literal["32-true", "bf16-mixed"] = option(
        "32-true",
        "bf16-mixed computes the products of training steps in bfloat16, twice as fast on processors that have it; "
        "weights, validation and forecasts stay in float32.",
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

    def micro_batches(self, tokens_per_window: int) -> int:
        """Return in how many micro-batches a batch is computed."""
        return min(self.batch_size, -(-self.batch_size * tokens_per_window // self.tokens_at_once))
