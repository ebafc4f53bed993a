"""Seconds and bytes against a length, both on logarithmic scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pictures._style import GREY, OURS, Label, label_ends, label_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes

SECONDS = {
    1e-4: "0.1 ms", 1e-3: "1 ms", 1e-2: "10 ms", 0.1: "100 ms", 1: "1 s", 10: "10 s", 100: "100 s", 1000: "1,000 s",
}  # fmt: skip
BYTES = {2.0**20 * 10**i: f"{10**i} MiB" for i in range(3)} | {2.0**30 * 10**i: f"{10**i} GiB" for i in range(4)}


class Curve(NamedTuple):
    """Costs of one method by length."""

    text: str
    colour: str
    points: list[tuple[float, float]]

    @property
    def width(self) -> float:
        """Width of the line: ours is thickest, and its main rivals are thicker than the rest."""
        return {OURS: 2.2, GREY: 0.8}.get(self.colour, 1.6)


def curve(text: str, colour: str, points: Iterable[tuple[float, float | None]]) -> Curve:
    """Make a curve of the lengths that were measured, sorted."""
    return Curve(text, colour, sorted((n, cost) for n, cost in points if cost))


def draw_costs(axis: Axes, curves: Sequence[Curve], ticks: Mapping[float, str]) -> None:
    """Draw curves and name them at their ends; `ticks` are those of the costs."""
    lengths = sorted({n for shown in curves for n, _ in shown.points})
    costs = [cost for shown in curves for _, cost in shown.points]
    axis.set_xscale("log")
    axis.set_yscale("log")
    for shown in curves:
        width = shown.width
        axis.plot(*zip(*shown.points, strict=True), "o-", color=shown.colour, linewidth=width, markersize=width + 1.5)
    axis.set_xlim(lengths[0] / 1.4, lengths[-1] * 1.4)
    axis.set_xticks(_sparse(lengths), [f"{n:,}" for n in _sparse(lengths)], size=7)
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.set_ylim(min(costs) / 2, max(costs) * 2)  # after the ticks, which widen it
    axis.minorticks_off()
    ends = [Label(shown.text, *shown.points[-1], shown.colour) for shown in curves]
    label_ends(axis, [label for label in ends if label.x == lengths[-1]], size=7.5)
    label_points(axis, [label for label in ends if label.x < lengths[-1]])


def _sparse(lengths: Sequence[float]) -> list[float]:
    """Those that have room for their names: each at most a fourth of the next, from the last one down."""
    kept = [lengths[-1]]
    for length in reversed(lengths):
        if 4 * length <= kept[-1]:
            kept.append(length)
    return kept[::-1]
