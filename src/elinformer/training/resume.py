"""The state of a training between two steps: collected into plain dicts of tensors and numbers, and put back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from elinformer.errors import InputError
from elinformer.training.ranks.random_numbers import random_state
from elinformer.training.ranks.strategy import mesh_of

if TYPE_CHECKING:
    import pytorch_lightning as pl
    import torch
    from torch import Tensor, nn

    from elinformer.training.batches import ShuffledBatches

State = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """How far a training is, in words that mean the same for any number of micro-batches or ranks.

    Attributes:
        epoch: Whole epochs done.
        steps_in_epoch: Steps done of the next one.
        step: Steps done in all.
        steps: Steps planned in all.
    """

    epoch: int
    steps_in_epoch: int
    step: int
    steps: int


def training_state(trainer: pl.Trainer, module: pl.LightningModule, position: Position) -> State:
    """All that decides how training goes on: weights, optimiser, schedule, callbacks, random numbers, position.

    Whatever else a module or callback remembers is in there too, as long as its `state_dict` says so. All ranks must
    call it.
    """
    return {
        "position": asdict(position),
        "module": dict(module.state_dict()),
        "optimizer": _optimizer_state(trainer.optimizers[0], module),
        "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "callbacks": {callback.state_key: state for callback, state in _callback_states(trainer)},
        "random": random_state(mesh_of(trainer), module.device),
    }


def restore_training(trainer: pl.Trainer, module: pl.LightningModule, batches: ShuffledBatches, state: State) -> None:
    """Put back what `training_state` collected, apart from the random numbers; once optimisers are there.

    Raises:
        InputError: The state is that of another model, optimiser or schedule.
    """
    try:
        module.load_state_dict(state["module"])
        _load_optimizer(trainer.optimizers[0], module, state["optimizer"])
        for config, schedule in zip(trainer.lr_scheduler_configs, state["schedules"], strict=True):
            config.scheduler.load_state_dict(schedule)
        for callback, _ in _callback_states(trainer):
            callback.load_state_dict(state["callbacks"][callback.state_key])
        _go_to(trainer, batches, Position(**state["position"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0].rstrip(":")
        raise InputError(
            f"expected a checkpoint of this training, but its parts differ ({reason}): train it again"
        ) from error


def _callback_states(trainer: pl.Trainer) -> list[tuple[pl.Callback, State]]:
    states = [(callback, callback.state_dict()) for callback in trainer.callbacks]  # pyright: ignore[reportAttributeAccessIssue]
    return [(callback, state) for callback, state in states if state]


def _optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> State:
    """Its state by names of parameters in the place of PyTorch's numbers."""
    names, state = _parameter_names(optimizer, module), optimizer.state_dict()
    return {
        "state": {names[number]: dict(tensors) for number, tensors in state["state"].items()},
        "groups": [{**group, "params": [names[n] for n in group["params"]]} for group in state["param_groups"]],
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, state: State) -> None:
    numbers = {name: number for number, name in enumerate(_parameter_names(optimizer, module))}
    optimizer.load_state_dict(
        {
            "state": {numbers[name]: tensors for name, tensors in state["state"].items()},
            "param_groups": [{**group, "params": [numbers[n] for n in group["params"]]} for group in state["groups"]],
        }
    )


def _parameter_names(optimizer: torch.optim.Optimizer, module: nn.Module) -> list[str]:
    """Names in the order of PyTorch's numbers."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    parameters: list[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [names[id(parameter)] for parameter in parameters]


def _go_to(trainer: pl.Trainer, batches: ShuffledBatches, position: Position) -> None:
    """Set Lightning's counters through its loops' own `load_state_dict`, and let the batches begin where they ended."""
    done = position.steps_in_epoch * trainer.accumulate_grad_batches
    begun = position.epoch + bool(done)
    epochs = {"ready": begun, "started": begun, "processed": position.epoch, "completed": position.epoch}
    everything = done + position.epoch * len(batches)
    state: State = trainer.fit_loop.state_dict()
    state["epoch_progress"] = {"total": epochs, "current": epochs}
    state["epoch_loop.batch_progress"] = {"total": _all(everything), "current": _all(done), "is_last_batch": False}
    state["epoch_loop.scheduler_progress"]["total"] = {"ready": position.step, "completed": position.step}
    steps = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    steps["total"] = {"ready": position.step, "completed": position.step}
    state["epoch_loop.state_dict"] = {"_batches_that_stepped": position.step}
    trainer.fit_loop.load_state_dict(state)
    batches.skip = position.steps_in_epoch


def _all(number: int) -> dict[str, int]:
    return {"ready": number, "started": number, "processed": number, "completed": number}
