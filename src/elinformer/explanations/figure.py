"""Figure of an explanation: bars by step, and bars of the series and covariates that moved the forecast most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elinformer.plots import FORECAST, OBSERVED, empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elinformer.explanations.explanation import Explanation

COLORS = {"own": FORECAST, "others": OBSERVED, "covariates": "#7570b3"}
LABELS = {"own": "its own values", "others": "values of other series", "covariates": "covariates"}


def figure_of(explanation: Explanation, top: int) -> Figure:
    """Draw an explanation; see `Explanation.plot`."""
    sources = _sources(explanation, top)
    figure = empty_figure(9, 4.4 + 0.22 * len(sources))
    above, below = figure.subplots(2, 1, height_ratios=[3, 1 + 0.24 * len(sources)])
    _draw_steps(above, explanation)
    names, numbers, colors = zip(*reversed(sources), strict=True) if sources else ((), (), ())
    below.barh(names, numbers, color=colors)
    below.set_xlabel("moved the forecast by")
    for label in below.get_yticklabels():
        label.set_parse_math(False)
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{explanation.target}, step {explanation.step}: {explanation.forecast:.4g} "
        f"({explanation.baseline:.4g} with every series at the level of its window)",
        fontsize=10,
        parse_math=False,
    )
    return figure


def _draw_steps(axis: Axes, explanation: Explanation) -> None:
    table = explanation.steps().dropna(subset="step")
    steps = table["step"].to_numpy(np.int64)
    places = np.arange(len(steps))  # lags lie far back: steps stand side by side
    high, low = np.zeros(len(steps)), np.zeros(len(steps))
    for name, color in COLORS.items():
        numbers = table[name].to_numpy(np.float64)
        if numbers.any():
            axis.bar(places, numbers, bottom=np.where(numbers > 0, high, low), color=color, label=LABELS[name])
        high, low = high + np.maximum(numbers, 0), low + np.minimum(numbers, 0)
    shown = places[:: max(1, -(-len(places) // 16))]
    axis.set_xticks(shown, [str(step) for step in steps[shown]])
    axis.set_xlabel("step that was read (0 = the last one before the forecast)")
    axis.set_ylabel("moved it by")
    axis.axhline(0, color=OBSERVED, linewidth=0.8)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9)


def _sources(explanation: Explanation, top: int) -> list[tuple[str, float, str]]:
    """Return name, sum and colour of the series and covariates that moved the forecast most."""
    series, covariates = explanation.series(top), explanation.covariates()
    values = series[["window", "lag"]].sum(axis=1)
    found = [
        (name, number, COLORS["own" if name == explanation.target else "others"])
        for name, number in zip(series["unique_id"], values, strict=True)
    ]
    found += [(row.name, row.attribution, COLORS["covariates"]) for row in covariates.itertuples(index=False)]
    return sorted(found, key=lambda source: -abs(source[1]))[:top]
