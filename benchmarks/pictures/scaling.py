"""Cost of ELinFormer with EALA and with softmax as the number of series grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.pictures._costs import BYTES, SECONDS, curve, draw_costs
from benchmarks.pictures._style import DOTTED, INK, OURS, SOFTMAX, Margins, foot_note, panels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from benchmarks.pictures._costs import Curve

MODELS = {"elinformer": ("EALA", OURS), "elinformer@attention=softmax": ("softmax", SOFTMAX)}
COSTS = (
    ("step", "seconds", "Time of training, a window", SECONDS),
    ("forecast", "seconds", "Time of a forecast", SECONDS),
    ("step", "peak_bytes", "Memory of a step of {windows} windows", BYTES),
    ("forecast", "peak_bytes", "Memory of a forecast", BYTES),
)


def draw_scaling(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw time and memory of a training step and of a forecast against the number of series."""
    (document,) = documents
    figure, axes = panels([2.2] * len(COSTS), Margins(0.65, 0.85, 0.38, 0.5), columns=2, foot=0.4)
    for axis, (part, quantity, title, ticks) in zip(axes, COSTS, strict=True):
        rows = [row for row in document["rows"] if row["part"] == part]
        windows = max(row["windows"] for row in rows)
        if quantity == "peak_bytes":  # a time is a window's, but the memory of fewer windows is another
            rows = [row for row in rows if row["windows"] == windows]
        products = sorted((row["series"], row["products"]) for row in rows if row["products"])
        if products and quantity == "seconds":
            axis.plot(*zip(*products, strict=True), color=INK, linewidth=1, linestyle=DOTTED)
        draw_costs(axis, [shown for model in MODELS if (shown := _curve(rows, model, quantity)).points], ticks)
        axis.set_title(title.format(windows=windows))
        axis.set_xlabel("series")
    about = document["about"]
    foot_note(
        figure,
        f"{about['processor']}, {about['threads']} threads, PyTorch {about['torch']}. Dotted: the matrix "
        "products with EALA alone. With many series a step has\nfewer windows, and its memory is not shown. The other "
        "lines end where a larger size takes too much time or memory.",
    )
    return figure


def _curve(rows: list[dict[str, Any]], model: str, quantity: str) -> Curve:
    return curve(*MODELS[model], ((row["series"], row[quantity]) for row in rows if row["model"] == model))
