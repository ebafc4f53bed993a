"""Style of all pictures: sizes, colours, axes placed by inches, labels at lines, reproducible files."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from elinformer._files import new_file

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

WIDTH = 7.3  # inches of 72 points: 701 pixels in a page
LABEL_GAP = 0.145  # inches from one label to the next at the ends of lines
SIDES = ((7, 0, 0), (0, 8, 0.5), (-7, 0, 1), (0, -8, 0.5), (4, 7, 0), (-4, 7, 1), (4, -7, 0), (-4, -7, 1))
"""Places of a label: points right and up of its point, and the share of its width to the left of that."""
OVER_ANOTHER = 1000.0  # cost of covering another label, in dots of a line

# Okabe and Ito's colours, which colour-blind readers can tell apart; ours is blue.
OURS, SOFTMAX, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
INK, DARK, GREY = "#222222", "#4d4d4d", "#777777"
DOTTED = (0, (1, 2))

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": DARK,
    "axes.labelsize": 8.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "svg.fonttype": "path",
    "svg.hashsalt": "elinformer",
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": DARK,
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": DARK,
    "ytick.labelsize": 8,
}


class Margins(NamedTuple):
    """Inches around each panel."""

    left: float
    right: float
    top: float
    bottom: float


class Label(NamedTuple):
    """Text beside a point, in the data's units, or beside the end of a line."""

    text: str
    x: float
    y: float
    colour: str


@contextmanager
def style() -> Generator[None]:
    """Matplotlib's settings for drawing and for saving."""
    with rc_context(STYLE):
        yield


def save(figure: Figure, path: Path, source: str) -> None:
    """Write an SVG whose bytes depend on the picture and the text about its source alone."""
    with style(), new_file(path) as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Source": source})


def panels(heights: Sequence[float], margins: Margins, *, columns: int, foot: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Make a figure with as many axes as `heights`, row by row; a row is as high as its highest.

    Args:
        heights: Inches of each panel, without its margins.
        margins: Around each panel.
        columns: Panels side by side.
        foot: Inches below all panels.
    """
    rows = [max(heights[first : first + columns]) for first in range(0, len(heights), columns)]
    total = sum(rows) + len(rows) * (margins.top + margins.bottom) + foot
    figure = Figure(figsize=(WIDTH, total))
    cell = WIDTH / columns
    axes: list[Axes] = []
    for number, height in enumerate(heights):
        row, column = divmod(number, columns)
        top = sum(rows[:row]) + row * (margins.top + margins.bottom) + margins.top
        box = (column * cell + margins.left, total - top - height, cell - margins.left - margins.right, height)
        axes.append(figure.add_axes((box[0] / WIDTH, box[1] / total, box[2] / WIDTH, box[3] / total)))
    return figure, axes


def foot_note(figure: Figure, text: str) -> None:
    """Write small text at the lower left, in the foot that `panels` left."""
    figure.text(
        0.1 / WIDTH, 0.08 / figure.get_figheight(), text, fontsize=7.5, color=DARK, va="bottom", linespacing=1.35
    )


def label_ends(axis: Axes, labels: Sequence[Label], *, size: float = 8) -> None:
    """Write labels to the right of a panel beside the ends of their lines, apart from each other.

    The limits and the scale of the axis have to be set before.
    """
    to_axis = axis.transData + axis.transAxes.inverted()
    wanted = [float(to_axis.transform((label.x, label.y))[1]) for label in labels]
    tallest = max((1 + label.text.count("\n") for label in labels), default=1)
    placed = spread(wanted, LABEL_GAP * (1 + tallest) / 2 * size / 8 / _inches(axis)[1])
    excess = max(0.0, *placed) - 1 if placed else 0.0
    for label, y in zip(labels, placed, strict=True):
        weight = "bold" if label.colour == OURS else "normal"
        axis.text(
            1.02, y - max(0.0, excess), label.text, transform=axis.transAxes, va="center", size=size,
            color=label.colour, weight=weight,
        )  # fmt: skip


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return the positions nearest to the wanted ones, in least squares, in the same order and a gap apart."""
    order = np.argsort(wanted, kind="stable")
    blocks: list[list[float]] = []  # of positions less the gaps before them: each block takes its mean
    for rank, index in enumerate(order):
        blocks.append([wanted[index] - rank * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    levels = [float(np.mean(block)) for block in blocks for _ in block]
    positions = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        positions[index] = levels[rank] + rank * gap
    return positions


def label_points(axis: Axes, labels: Sequence[Label], *, size: float = 7.5) -> None:
    """Write labels beside points, on the side where they cover least of the lines; leave out one without room.

    The lines have to be drawn and the limits set before.
    """
    width, height = (72 * inches for inches in _inches(axis))
    to_axis = axis.transData + axis.transAxes.inverted()
    ink = np.concatenate([_dense(to_axis.transform(line.get_xydata()) * (width, height)) for line in axis.lines])
    taken: list[np.ndarray] = []
    for label in labels:
        x, y = to_axis.transform((label.x, label.y)) * (width, height)
        wide, half = 0.58 * size * len(label.text), 0.6 * size
        corners = [(x + dx - wide * side, y + dy) for dx, dy, side in SIDES]
        boxes = [np.array((left, middle - half, left + wide, middle + half)) for left, middle in corners]
        covers = [_cover(box, ink, taken, (width, height)) for box in boxes]
        best = covers.index(min(covers))
        if covers[best] >= OVER_ANOTHER:
            continue
        taken.append(boxes[best])
        axis.text(
            corners[best][0] / width, corners[best][1] / height, label.text, transform=axis.transAxes, va="center",
            size=size, color=label.colour,
        )  # fmt: skip


def _dense(points: np.ndarray) -> np.ndarray:
    """Points along a line and around its markers, close enough to find everything that lies on it."""
    places = np.linspace(0, len(points) - 1, 60 * len(points))
    along = np.stack([np.interp(places, np.arange(len(points)), points[:, i]) for i in (0, 1)], axis=-1)
    around = [points + 4 * np.array(way) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    return np.concatenate([along, *around])


def _cover(box: np.ndarray, ink: np.ndarray, taken: Sequence[np.ndarray], size: tuple[float, float]) -> float:
    """Cost of a box: the points that it covers; another label or the edge of the panel costs more than any line."""
    inside = ((ink >= box[:2]) & (ink <= box[2:])).all(-1).sum()
    others = sum(bool((box[:2] < other[2:]).all() and (box[2:] > other[:2]).all()) for other in taken)
    outside = bool((box[:2] < 0).any() or (box[2:] > size).any())
    return float(inside) + OVER_ANOTHER * others + 2 * OVER_ANOTHER * outside


def _inches(axis: Axes) -> tuple[float, float]:
    figure: Any = axis.figure
    box = axis.get_position()
    return box.width * figure.get_figwidth(), box.height * figure.get_figheight()


def significant(value: float, digits: int = 4) -> str:
    """Format a number with that many significant digits, and all digits before the point."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
