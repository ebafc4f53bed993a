"""What attentions cost as the number of keys grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.pictures._style import (
    DOTTED,
    GREY,
    INK,
    OURS,
    PURPLE,
    SOFTMAX,
    Label,
    Margins,
    foot_note,
    label_ends,
    label_points,
    panels,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {"eala": ("EALA", OURS), "softmax": ("softmax", SOFTMAX), "elu": ("elu + 1", PURPLE)}
SECONDS = {1e-3: "1 ms", 1e-2: "10 ms", 0.1: "100 ms", 1: "1 s", 10: "10 s", 100: "100 s"}
BYTES = {10 * 2**20: "10 MiB", 100 * 2**20: "100 MiB", 2**30: "1 GiB", 10 * 2**30: "10 GiB"}
COSTS = {"both_s": ("Time, forward and backward", SECONDS), "peak_bytes": ("Peak memory", BYTES)}


def draw_ops(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Time and memory of every attention against the number of keys, one window, float32."""
    (document,) = documents
    rows = [row for row in document["rows"] if row["shape"][0] == 1 and row["dtype"] == "float32"]
    figure, axes = panels([3.1, 3.1], Margins(0.6, 1.15, 0.38, 0.5), columns=2, foot=0.4)
    for axis, (quantity, (title, ticks)) in zip(axes, COSTS.items(), strict=True):
        least = _least(rows) if quantity == "peak_bytes" else []
        _draw_cost(axis, rows, quantity, least)
        axis.set_yticks(list(ticks), list(ticks.values()))
        axis.minorticks_off()
        axis.set_title(title)
    B, H, _, E = rows[0]["shape"]
    about = document["about"]
    foot_note(
        figure,
        f"Shape ({B}, {H}, N, {E}), float32; {about['processor']}, {about['threads']} threads, PyTorch "
        f"{about['torch']}. Lines end where a call took over a minute or\ndid not fit. Dotted: inputs, output and all "
        "gradients alone.",
    )
    return figure


def _least(rows: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return sorted({(row["shape"][2], row["eight_tensors_bytes"]) for row in rows})


def _draw_cost(axis: Axes, rows: list[dict[str, Any]], quantity: str, least: list[tuple[int, float]]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    ends: list[Label] = []
    lengths = sorted({row["shape"][2] for row in rows})
    for name in sorted({row["operator"] for row in rows}, key=lambda name: (name in SHOWN, name != "eala", name)):
        text, colour = SHOWN.get(name, (name, GREY))
        points = [(row["shape"][2], row[quantity]) for row in rows if row["operator"] == name and row[quantity]]
        ns, costs = zip(*sorted(points), strict=True)
        width = 2.2 if name == "eala" else 1.6 if name in SHOWN else 0.8
        axis.plot(ns, costs, "o-", color=colour, linewidth=width, markersize=width + 1.5)
        ends.append(Label(text, ns[-1], costs[-1], colour))
    if least:
        axis.plot(*zip(*least, strict=True), color=INK, linewidth=1, linestyle=DOTTED)
    axis.set_xlim(lengths[0] / 1.4, lengths[-1] * 1.4)
    axis.set_xticks(lengths, [f"{n:,}" for n in lengths], size=7.5)
    axis.set_xlabel("N, keys and as many queries")
    label_ends(axis, [label for label in ends if label.x == lengths[-1]], size=7.5)
    label_points(axis, [label for label in ends if label.x < lengths[-1]])
