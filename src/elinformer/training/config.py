"""How a model is trained, apart from what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from elinformer._options import check_types
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

CHOICES = {
    "loss_scale": ("channel", "series", "seasonal"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("32-true", "bf16-mixed"),
    "logger": (None, "tensorboard", "csv"),
}
MAY_BE_ZERO = (
    "weight_decay",
    "patience",
    "averaged_epochs",
    "seed",
    "series_at_once",
    "checkpoint_minutes",
)


@dataclass(frozen=True)
class TrainingConfig:
    """Options of training; one set of defaults for all data.

    Attributes:
        epochs: Passes over the training windows. The learning rate anneals to zero over all of them.
        batch_size: Windows a step.
        learning_rate: The peak of the one-cycle schedule (AdamW).
        weight_decay: Of AdamW, per step and unit of learning rate.
        gradient_clip: Largest norm of the gradient.
        loss_scale: What errors are divided by in the loss: "channel", the standard deviation of the channel
            (all series of a channel count in the same unit), "series", that of each series by itself, or
            "seasonal", what the same time yesterday errs by (for series of different units that matter alike:
            the predictable ones then count by how predictable they are, as in MASE).
        patience: Stop after so many validations without a better one; 0 = never. Where it is set, the
            learning rate stays constant after the warm-up, because an annealing that is cut short is none.
        averaged_epochs: Over how many epochs the weights are averaged that validation sees and training ends with,
            exponentially; 0 = not at all.
        seed: Of weights, order of windows and dropout.
        device: "auto", "cpu", "cuda", "mps".
        precision: "32-true", or "bf16-mixed": the products of training steps in bfloat16, twice as fast on processors
            that have it; weights, validation and forecasts stay in float32.
        tokens_at_once: Series times windows (times patches) that are held in memory together; a batch of
            more is cut into micro-batches whose gradients are added.
        series_at_once: Series whose gradient is held in memory together, drawn at random for every micro-batch; they
            see the others summarised: see docs/scale.md. 0 = all.
        logger: "tensorboard" or "csv" writes the curves into `log_dir`.
        log_dir: Folder of the logs.
        checkpoint_minutes: Time between checkpoints where training writes a run. On slow disks it is longer, so that
            checkpoints take no more than a hundredth of the time. 0 = a checkpoint before every step.
    """

    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    loss_scale: Literal["channel", "series", "seasonal"] = "channel"
    patience: int = 0
    averaged_epochs: float = 1.0
    seed: int = 0
    device: str = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    tokens_at_once: int = 50_000
    series_at_once: int = 0
    logger: Literal["tensorboard", "csv"] | None = None
    log_dir: str = "runs/logs"
    checkpoint_minutes: float = 2.0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("epochs", "batch_size", "tokens_at_once", "learning_rate", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"expected {name} above 0, got {getattr(self, name)}")
        for name in MAY_BE_ZERO:
            if not getattr(self, name) >= 0:
                raise InputError(f"expected {name} of 0 or more, got {getattr(self, name)}")
        if self.seed >= 1 << 64:
            raise InputError(f"expected a seed below 2**64, got {self.seed}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = " or ".join(str(choice) for choice in allowed if choice)
                raise InputError(f"expected {name} to be {choices}, got {getattr(self, name)!r}")

    @classmethod
    def of(cls, options: Mapping[str, Any], **others: Any) -> TrainingConfig:
        """From options by name, as a settings file has them, and `others`, which win."""
        known = cls.__dataclass_fields__
        if unknown := [name for name in options if name not in known]:
            raise InputError(f"expected training options out of {', '.join(known)}, got {', '.join(unknown)}")
        return cls(**{**options, **others})

    def micro_batches(self, tokens_per_window: int) -> int:
        """How many parts a batch is computed in."""
        return min(self.batch_size, -(-self.batch_size * tokens_per_window // self.tokens_at_once))
