"""Cost of attentions as the number of keys grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.pictures._costs import BYTES, SECONDS, curve, draw_costs
from benchmarks.pictures._style import DOTTED, GREY, INK, OURS, PURPLE, SOFTMAX, Margins, foot_note, panels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from benchmarks.pictures._costs import Curve

SHOWN = {"eala": ("EALA", OURS), "softmax": ("softmax", SOFTMAX), "elu": ("elu", PURPLE)}
COSTS = {"both_s": ("Time, forward and backward", SECONDS), "peak_bytes": ("Peak memory", BYTES)}


def draw_ops(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw time and memory of every attention against the number of keys, one window, float32."""
    (document,) = documents
    rows = [row for row in document["rows"] if row["shape"][0] == 1 and row["dtype"] == "float32"]
    names = sorted({row["operator"] for row in rows}, key=lambda name: (name in SHOWN, name != "eala", name))
    figure, axes = panels([3.1, 3.1], Margins(0.6, 1.15, 0.38, 0.5), columns=2, foot=0.4)
    for axis, (quantity, (title, ticks)) in zip(axes, COSTS.items(), strict=True):
        if quantity == "peak_bytes":
            least = sorted({(row["shape"][2], row["eight_tensors_bytes"]) for row in rows})
            axis.plot(*zip(*least, strict=True), color=INK, linewidth=1, linestyle=DOTTED)
        draw_costs(axis, [_curve(rows, name, quantity) for name in names], ticks)
        axis.set_title(title)
        axis.set_xlabel("N, keys and as many queries")
    B, H, _, E = rows[0]["shape"]
    about = document["about"]
    foot_note(
        figure,
        f"Shape ({B}, {H}, N, {E}), float32; {about['processor']}, {about['threads']} threads, PyTorch "
        f"{about['torch']}. Lines end where a call took over a minute or\ndid not fit. Dotted: inputs, output and all "
        "gradients alone.",
    )
    return figure


def _curve(rows: list[dict[str, Any]], name: str, quantity: str) -> Curve:
    text, colour = SHOWN.get(name, (name, GREY))
    return curve(text, colour, ((row["shape"][2], row[quantity]) for row in rows if row["operator"] == name))
