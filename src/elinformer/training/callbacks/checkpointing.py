"""State of a training between two steps, and the callback that writes it to checkpoints and resumes from them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from elinformer.errors import InputError
from elinformer.run_folder.folder import first_line
from elinformer.training.ranks.random_numbers import random_state, restore_random_state
from elinformer.training.ranks.strategy import gather_state, mesh_of, shard_state

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from torch import Tensor, nn

    from elinformer.run_folder.folder import UnfinishedRun
    from elinformer.training.batches import ShuffledBatches

State = dict[str, Any]

MAX_TIME_SHARE = 0.01
"""Largest share of the training time that periodic checkpoints may take."""


@dataclass(frozen=True)
class Position:
    """Progress of a training, independent of the number of micro-batches and ranks.

    Attributes:
        epoch: Number of completed epochs.
        steps_in_epoch: Number of completed steps of the current epoch.
        step: Number of completed steps in total.
        steps: Number of planned steps in total.
    """

    epoch: int
    steps_in_epoch: int
    step: int
    steps: int


class Checkpointing(pl.Callback):
    """Resumes from the newest checkpoint and writes new ones at intervals.

    A checkpoint is written at the start of a step, after the validation of the previous epoch, so that the rest of
    training depends on nothing else.

    Args:
        run: Run folder that holds the checkpoints.
        batches: Batches of the training.
        minutes: Minutes between two checkpoints; 0 = one before every step.
        console: Console for messages about the resumed training.
    """

    def __init__(self, run: UnfinishedRun, batches: ShuffledBatches, minutes: float, console: Console) -> None:
        self._checkpoints, self._batches, self._minutes, self._console = run.checkpoints, batches, minutes, console
        self.resume_command = run.resume_command
        self._last_step = 0
        self._last_time = time.monotonic()
        self._last_duration = 0.0
        self._random_state: State | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resume from the newest checkpoint; without one, training starts from the beginning."""
        state, problems = self._checkpoints.read_newest()
        for problem in problems:
            self._console.print(problem, style="yellow", highlight=False)
        if state is None:
            if problems:
                self._console.print("no checkpoint is usable: training restarts", style="yellow", highlight=False)
            return
        restore_training_state(trainer, pl_module, self._batches, shard_state(trainer, state))
        self._random_state = state["random"]
        position = Position(**state["position"])
        self._last_step = position.step
        self._console.print(f"resuming at step {position.step} of {position.steps}", highlight=False)
        previous, current = tuple(state["random"]["mesh"]), mesh_of(trainer).shape
        if previous != current:
            self._console.print(
                "random numbers will differ: training was on {} x {} ranks (windows x series), and now is on {} x {}"
                "".format(*previous, *current),
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due; before the first batch after a restart, restore the random numbers."""
        if self._random_state is not None:
            restore_random_state(self._random_state, mesh_of(trainer), pl_module.device)
            self._random_state = None
        if batch_idx % trainer.accumulate_grad_batches == 0 and self._is_due(trainer):
            self._write(trainer, pl_module, batch_idx)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if training stops in the middle of an epoch, so that it can resume there."""
        n_batches = batch_idx + 1
        is_between_steps = n_batches % trainer.accumulate_grad_batches == 0 and n_batches < len(self._batches)
        if trainer.should_stop and is_between_steps:
            self._write(trainer, pl_module, n_batches)

    def write_if_new(self, trainer: pl.Trainer, pl_module: pl.LightningModule, n_batches: int) -> None:
        """Write a checkpoint between two steps, unless the last checkpoint is of the same step."""
        if trainer.global_step > self._last_step:
            self._write(trainer, pl_module, n_batches)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """Tell if a checkpoint is due; all ranks return the same although their clocks differ."""
        if trainer.global_step == self._last_step:
            return False
        if not self._minutes:
            return True
        interval = max(60 * self._minutes, self._last_duration / MAX_TIME_SHARE)
        is_due = time.monotonic() - self._last_time >= interval
        return trainer.strategy.reduce_boolean_decision(is_due, all=False)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, n_batches: int) -> None:
        start = time.monotonic()
        position = Position(
            epoch=trainer.current_epoch,
            steps_in_epoch=n_batches // trainer.accumulate_grad_batches,
            step=trainer.global_step,
            steps=int(trainer.estimated_stepping_batches),
        )
        state = gather_state(trainer, training_state(trainer, pl_module, position))
        if trainer.is_global_zero:
            self._write_file(position.step, state)
        self._last_step, self._last_time = position.step, time.monotonic()
        self._last_duration = self._last_time - start

    def _write_file(self, step: int, state: State) -> None:
        try:
            self._checkpoints.write(step, state)
        except InputError as error:
            raise InputError(
                f"{error}: the earlier checkpoints are intact, so free some space and resume with {self.resume_command}"
            ) from error


def training_state(trainer: pl.Trainer, module: pl.LightningModule, position: Position) -> State:
    """Return all that the rest of training depends on, as dicts of tensors and numbers.

    This includes weights, optimiser, schedules, random numbers, and the `state_dict` of module and callbacks. All ranks
    must call this function.
    """
    return {
        "position": asdict(position),
        "module": dict(module.state_dict()),
        "optimizer": _optimizer_state(trainer.optimizers[0], module),
        "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "callbacks": {callback.state_key: state for callback, state in _callback_states(trainer)},
        "random": random_state(mesh_of(trainer), module.device),
    }


def restore_training_state(
    trainer: pl.Trainer, module: pl.LightningModule, batches: ShuffledBatches, state: State
) -> None:
    """Restore all of `training_state` except the random numbers; the optimisers must exist.

    Raises:
        InputError: The state is that of another model, optimiser or schedule.
    """
    try:
        module.load_state_dict(state["module"])
        _load_optimizer_state(trainer.optimizers[0], module, state["optimizer"])
        for config, schedule in zip(trainer.lr_scheduler_configs, state["schedules"], strict=True):
            config.scheduler.load_state_dict(schedule)
        for callback, _ in _callback_states(trainer):
            callback.load_state_dict(state["callbacks"][callback.state_key])
        _restore_position(trainer, batches, Position(**state["position"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"expected a checkpoint of this training, but it does not match ({first_line(error)}): train it again"
        ) from error


def _callback_states(trainer: pl.Trainer) -> list[tuple[pl.Callback, State]]:
    states = [(callback, callback.state_dict()) for callback in trainer.callbacks]  # pyright: ignore[reportAttributeAccessIssue]
    return [(callback, state) for callback, state in states if state]


def _optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> State:
    """Return the optimiser's state with names of parameters in place of PyTorch's numbers."""
    names, state = _parameter_names(optimizer, module), optimizer.state_dict()
    return {
        "state": {names[number]: dict(tensors) for number, tensors in state["state"].items()},
        "groups": [{**group, "params": [names[n] for n in group["params"]]} for group in state["param_groups"]],
    }


def _load_optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module, state: State) -> None:
    numbers = {name: number for number, name in enumerate(_parameter_names(optimizer, module))}
    optimizer.load_state_dict(
        {
            "state": {numbers[name]: tensors for name, tensors in state["state"].items()},
            "param_groups": [{**group, "params": [numbers[n] for n in group["params"]]} for group in state["groups"]],
        }
    )


def _parameter_names(optimizer: torch.optim.Optimizer, module: nn.Module) -> list[str]:
    """Return the names of the optimiser's parameters in the order of PyTorch's numbers."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    parameters: list[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [names[id(parameter)] for parameter in parameters]


def _restore_position(trainer: pl.Trainer, batches: ShuffledBatches, position: Position) -> None:
    """Set the counters of Lightning's loops by their own `load_state_dict`, and skip the steps that are done."""
    batches_in_epoch = position.steps_in_epoch * trainer.accumulate_grad_batches
    n_batches = batches_in_epoch + position.epoch * len(batches)
    n_started = position.epoch + bool(batches_in_epoch)
    epochs = {"ready": n_started, "started": n_started, "processed": position.epoch, "completed": position.epoch}
    state: State = trainer.fit_loop.state_dict()
    state["epoch_progress"] = {"total": epochs, "current": epochs}
    state["epoch_loop.batch_progress"] = {
        "total": _completed(n_batches),
        "current": _completed(batches_in_epoch),
        "is_last_batch": False,
    }
    state["epoch_loop.scheduler_progress"]["total"] = {"ready": position.step, "completed": position.step}
    steps = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    steps["total"] = {"ready": position.step, "completed": position.step}
    state["epoch_loop.state_dict"] = {"_batches_that_stepped": position.step}
    trainer.fit_loop.load_state_dict(state)
    batches.n_steps_to_skip = position.steps_in_epoch


def _completed(number: int) -> dict[str, int]:
    return {"ready": number, "started": number, "processed": number, "completed": number}
