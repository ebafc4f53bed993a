"""Training of several models from different seeds, whose forecasts are averaged: the preset "best"."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from elinformer.models.ensemble import Ensemble
from elinformer.training.fit import TrainingOutput, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from elinformer.data.series_info import SeriesInfo
    from elinformer.data.windows import SplitPanel
    from elinformer.run_folder.folder import UnfinishedRun
    from elinformer.training.config import TrainingConfig


def train_members(
    data: SplitPanel,
    info: SeriesInfo,
    new_model: Callable[[int], nn.Module],
    config: TrainingConfig,
    *,
    run: UnfinishedRun | None = None,
    **options: Any,
) -> TrainingOutput:
    """Train as many models as the options say, one after the other; see `elinformer.training.fit.train`.

    Each has its own seed, validation, blend and refit. The result of one model is that of `train`. That of several has
    the time of all, and epochs, sharpness and history of the first. Ctrl-C ends with the models so far.

    Args:
        data: Panel and its split.
        info: Calendar and covariates of training.
        new_model: Function from the number of a model to the model.
        config: Options of training.
        run: Run folder for checkpoints; training resumes from the newest one.
        options: Other arguments of `train`.
    """
    outputs: list[TrainingOutput] = []
    for number in range(config.n_members):
        own_run = None if run is None else run.of_member(number)
        outputs.append(train(data, info, partial(new_model, number), config.of_member(number), run=own_run, **options))
        if outputs[-1].result.interrupted:
            break
    if config.n_members == 1:
        return outputs[0]
    results = [output.result for output in outputs]
    result = replace(
        results[0],
        seconds=sum(each.seconds for each in results),
        skipped_steps=sum(each.skipped_steps for each in results),
        diverged=any(each.diverged for each in results),
        interrupted=results[-1].interrupted,
    )
    refitted = [output.refitted or output.model for output in outputs]
    has_refit = not result.interrupted and any(output.refitted for output in outputs)
    model = Ensemble([output.model for output in outputs])
    return TrainingOutput(model, Ensemble(refitted) if has_refit else None, outputs[0].mesh, result)
