"""Draw the pictures of the documentation from the committed measurements.

    python -m benchmarks.pictures accuracy horizon

Without names all are drawn. The same measurements give the same bytes. A picture without measurements stays as it is,
and a line says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from benchmarks._common import RESULTS
from benchmarks.pictures._style import save, style
from benchmarks.pictures.accuracy import draw_accuracy, draw_horizon
from benchmarks.pictures.ops import draw_ops
from benchmarks.pictures.scaling import draw_scaling

IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Picture(NamedTuple):
    """Names of the documents of a picture, and the function that draws it."""

    files: str
    draw: Callable[[Sequence[Mapping[str, Any]]], Figure]


PICTURES = {
    "accuracy": Picture("compare-*.json", draw_accuracy),
    "horizon": Picture("compare-*.json", draw_horizon),
    "ops": Picture("ops-cpu.json", draw_ops),
    "scaling": Picture("scaling.json", draw_scaling),
}


def draw(name: str, results: Path, images: Path) -> Path | None:
    """Draw one picture; None without measurements."""
    files = sorted(results.glob(PICTURES[name].files))
    if not files:
        return None
    with style():
        figure = PICTURES[name].draw([json.loads(file.read_text()) for file in files])
    target = images / f"{name}.svg"
    save(figure, target, source_of(files))
    return target


def source_of(files: Sequence[Path]) -> str:
    """Text about the files of a picture: their names and the beginnings of their digests."""
    return ", ".join(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" for file in files)


def main() -> None:
    """Draw the named pictures, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description="Draw docs/images")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; all by default")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of measurements")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the pictures go")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PICTURES]:
        parser.error(f"expected names of {', '.join(PICTURES)}, got {', '.join(unknown)}")
    for name in options.names or PICTURES:
        target = draw(name, options.results, options.images)
        print(target or f"{name}: skipped, for there is no {PICTURES[name].files} in {options.results}")


if __name__ == "__main__":
    main()
