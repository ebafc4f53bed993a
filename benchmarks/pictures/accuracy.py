"""Test errors of all models, over all steps and by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from benchmarks.pictures._style import (
    DOTTED,
    GREY,
    INK,
    OURS,
    Label,
    Margins,
    foot_note,
    label_ends,
    panels,
    significant,
)
from benchmarks.pictures._tables import ATTENTION, REFERENCE, Model, Table, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.2  # inches
REACH = 1.25  # the picture ends at so many times the lowest error; a higher one is an arrow
BY_STEP = (REFERENCE, f"{ATTENTION}softmax", f"{ATTENTION}none", "stid-tuned", "stid")


def draw_accuracy(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a dot for each seed and one for their mean, sorted, and lines for naive forecasts."""
    shown = tables(documents)
    columns = min(2, len(shown))
    heights = [ROW * len(table.models) for table in shown]
    figure, axes = panels(heights, Margins(1.15, 0.5, 0.38, 0.48), columns=columns, foot=0.4)
    for axis, table in zip(axes, shown, strict=True):
        _draw_table(axis, table)
    foot_note(
        figure,
        "Dot: mean over seeds. Ring: one seed. Dotted line: a naive forecast. Arrow: beyond the picture.\n"
        "softmax, elu, mean and so on: elinformer with that attention in place of EALA.",
    )
    return figure


def _draw_table(axis: Axes, table: Table) -> None:
    models = [*table.trained, *table.naive]
    best = min(min(model.errors) for model in models)
    end = max(min(error, REACH * best) for model in models for error in model.errors)
    room = 0.06 * (end - best)
    axis.set_xlim(best - room, end + room)
    axis.set_ylim(len(models) - 0.4, -0.6)
    for row, model in enumerate(models):
        _draw_model(axis, model, row, end)
    axis.set_yticks(range(len(models)), [model.shown for model in models])
    for tick, model in zip(axis.get_yticklabels(), models, strict=True):
        tick.set_color(INK if model.name == REFERENCE else GREY if model.is_naive else model.colour)
        tick.set_fontweight("bold" if model.name == REFERENCE else "normal")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_title(table.data.title)
    axis.set_xlabel(f"mean absolute test error ({table.data.unit})")


def _draw_model(axis: Axes, model: Model, row: int, end: float) -> None:
    colour, is_ours = model.colour, model.name == REFERENCE
    if is_ours:
        axis.axhspan(row - 0.5, row + 0.5, color=OURS, alpha=0.08, linewidth=0)
    axis.text(
        1.015, row, significant(model.mean), transform=axis.get_yaxis_transform(), va="center", size=8,
        color=colour, weight="bold" if is_ours else "normal",
    )  # fmt: skip
    if model.mean > end:
        axis.plot(end, row, ">", color=colour, markersize=5)
        return
    if model.is_naive:
        axis.axvline(model.mean, color=GREY, linestyle=DOTTED, linewidth=1, zorder=0.9)
    elif len(model.errors) > 1:
        axis.plot(model.errors, [row] * len(model.errors), "o", color=colour, markerfacecolor="white", markersize=4.5)
    axis.plot(model.mean, row, "o", color=colour, markersize=6)


def draw_horizon(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the error by step of the horizon: mean over seeds, shaded from the best to the worst seed."""
    shown = tables(documents)
    columns = min(2, len(shown))
    figure, axes = panels([2.3] * len(shown), Margins(0.6, 1.15, 0.38, 0.5), columns=columns, foot=0.25)
    for axis, table in zip(axes, shown, strict=True):
        _draw_steps(axis, table)
    foot_note(figure, "Lines: mean over seeds. Shaded: from the lowest to the highest seed, where there are several.")
    return figure


def _draw_steps(axis: Axes, table: Table) -> None:
    models = [model for model in table.models if model.name in BY_STEP] + table.naive[:1]
    labels: list[Label] = []
    for model in models:
        steps, mean = range(1, model.by_step.shape[1] + 1), model.by_step.mean(0)
        is_ours = model.name == REFERENCE
        dashes = DOTTED if model.is_naive else "-"
        axis.plot(
            steps, mean, color=model.colour, linewidth=2.2 if is_ours else 1.3, linestyle=dashes, zorder=2 + is_ours
        )
        axis.fill_between(
            steps, model.by_step.min(0), model.by_step.max(0), color=model.colour, alpha=0.15, linewidth=0
        )
        labels.append(Label(model.shown, len(steps), float(mean[-1]), model.colour))
        axis.set_xlim(1, len(steps))
        axis.set_xticks(range(len(steps), 0, -max(1, len(steps) // 6)))
    label_ends(axis, labels)
    axis.set_title(table.data.title)
    axis.set_xlabel(f"steps ahead, of {table.data.step}" if table.data.step else "steps ahead")
    axis.set_ylabel(f"MAE ({table.data.unit})")
