"""Measure time and memory of training steps and forecasts as the series grow, with EALA and with softmax.

    python -m benchmarks.scaling --quick

Every measurement runs in a process of its own, on the first N sensors of a simulated freeway: a few steps of a training
with `fit` (forward, backward and AdamW, in micro-batches), and the forecast of one window, from the panel to an array.
Memory is the peak of the process above its memory before data and model.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._children import in_child
from benchmarks._common import BUSY, environment, environment_text, load_warning, write_results
from benchmarks._scaling import BATCH, Job, forecasts, steps, write_speeds
from benchmarks._summary import seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

SERIES = sorted([2**k for k in range(8, 18)] + [8600])
MODELS = {"elinformer": 1, "elinformer@attention=softmax": 2}  # with the power of N in their time
PARTS = {"step": steps, "forecast": forecasts}
TITLES = {"step": "A training step, by window", "forecast": "A forecast of one window"}
LONG = 2048  # from here on, the fixed cost of a call is small
MEMORY = 12 << 30  # bytes that one measurement may take
TARGET = 8600


def main() -> None:
    """Measure, print and write."""
    options = _options()
    about, notes = environment("cpu", options.threads), [note for note in [load_warning()] if note]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/speeds.npy"
        write_speeds(source, max(options.series))
        for row in measured(options, source):
            rows.append(row)
            print(row, flush=True)
    notes += disturbances(rows)
    text = "\n\n".join(
        ["# Time and memory as the series grow", environment_text(about), *notes, _legend(options), shown(rows)]
    )
    print(f"\n{text}")
    if not options.quick:
        write_results("scaling", {"about": about, "notes": notes, "rows": rows}, text)


def measured(options: argparse.Namespace, source: str) -> Iterator[Row]:
    """Yield a row for each number of series, model and part."""
    before: dict[tuple[str, str], Row] = {}
    for n in options.series:
        for model, power in MODELS.items():
            for part, function in PARTS.items():
                windows = windows_of(n, power) if part == "step" else 1
                row = {"series": n, "model": model, "part": part, "windows": windows}
                failure = over_limit(before.get((model, part)), row, power, options.limit)
                if failure is None:
                    job = Job(model, n, windows, source, options.threads, options.seconds, MEMORY)
                    found = in_child(function, job, seconds=5 * options.limit + 60, limit=options.limit)
                else:
                    found = {"failure": failure}
                empty = dict.fromkeys(("seconds", "products", "peak_bytes", "failure", "others"))
                before[model, part] = row | empty | found
                yield before[model, part]


def windows_of(n_series: int, power: int) -> int:
    """Windows of a training step: 16, or fewer with many series."""
    most = -(-(2**17) // n_series) if power == 1 else 2**25 // n_series**2
    return max(1, min(BATCH, most))


def over_limit(before: Row | None, row: Row, power: int, limit: float) -> str | None:
    """Reason to skip a measurement, predicted from the one of fewer series; None to run it."""
    if before is None or before["series"] < LONG:
        return None
    if before["seconds"] is None:
        return before["failure"]
    predicted = before["seconds"] * (row["series"] / before["series"]) ** power * row["windows"]
    return f"over {limit:.0f} s (about {predicted:,.0f} s)" if predicted > limit else None


def disturbances(rows: list[Row]) -> list[str]:
    """Return a sentence if other processes used much of the machine."""
    disturbed = [row["others"] for row in rows if (row["others"] or 0) > BUSY * (os.cpu_count() or 1)]
    if not disturbed:
        return []
    return [f"Others used up to {max(disturbed):.1f} cores during {len(disturbed)} of {len(rows)} measurements."]


def shown(rows: list[Row]) -> str:
    """Make both tables and their summary."""
    tables = [part for name in PARTS for part in (f"## {TITLES[name]}", table(rows, name))]
    return "\n\n".join([*tables, "## In short", *growth(rows), *at_target(rows)])


def table(rows: list[Row], part: str) -> str:
    """Make a table with a line for each number of series."""
    found = {(row["series"], row["model"]): row for row in rows if row["part"] == part}
    head = ["series", "time", "softmax", "memory", "softmax"]
    head += ["windows", "softmax", "weights"] if part == "step" else ["products", "time / products", "weights"]
    lines = [f"| {' | '.join(head)} |", "|" + " ---: |" * len(head)]
    for n in dict.fromkeys(row["series"] for row in rows):
        ours, softmax = (found[n, model] for model in MODELS)
        cells = [f"{n:,}", *(map(_time, (ours, softmax))), *(map(_memory, (ours, softmax)))]
        if part == "step":
            cells += [f"{ours['windows']}", f"{softmax['windows']}", gib(weights_bytes(n, layers=3))]
        else:
            cells += [seconds_text(ours["products"]), _ratio(ours), gib(weights_bytes(n, layers=1))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def weights_bytes(n_series: int, layers: int, heads: int = 8) -> int:
    """Bytes of softmax's weights of one window in float32, if they are stored."""
    return 4 * layers * heads * n_series**2


def exponent(rows: list[Row]) -> float:
    """Exponent of N in the power law that fits the times by least squares of logarithms."""
    n, seconds = (np.log([row[name] for row in rows]) for name in ("series", "seconds"))
    return float(np.polyfit(n, seconds, 1)[0])


def growth(rows: list[Row]) -> list[str]:
    """Write a sentence for each part and model, over all sizes and over the large ones."""
    sentences = []
    for part in PARTS:
        for model in MODELS:
            timed = [row for row in rows if (row["part"], row["model"]) == (part, model) and row["seconds"]]
            spans = [[row for row in timed if row["series"] >= least] for least in (0, LONG)]
            exponents = [
                f"N ** {exponent(span):.3f} from {span[0]['series']:,} to {span[-1]['series']:,}"
                for span in spans
                if len(span) > 1
            ]
            if exponents:
                sentences.append(f"The time of a {part} of {model} grows as {', as '.join(exponents)}.")
    return sentences


def at_target(rows: list[Row]) -> list[str]:
    """Write memory of a step and ratio of a forecast at 8,600 series."""
    sentences = []
    for row in rows:
        if (row["series"], row["model"]) != (TARGET, "elinformer") or not row["seconds"]:
            continue
        if row["part"] == "step":
            sentences.append(f"At N = {TARGET:,}, a step of {row['windows']} windows takes {gib(row['peak_bytes'])}.")
        else:
            sentences.append(f"At N = {TARGET:,}, a forecast takes {_ratio(row)} times as long as its matrix products.")
    return sentences


def gib(n_bytes: int) -> str:
    """Format bytes for a table."""
    return f"{n_bytes / 2**30:,.2f} GiB"


def _time(row: Row) -> str:
    return row["failure"] or seconds_text(row["seconds"])


def _memory(row: Row) -> str:
    return "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:,.0f} MiB"


def _ratio(row: Row) -> str:
    return f"{row['seconds'] / row['products']:.2f}" if row["products"] else ""


def _legend(options: argparse.Namespace) -> str:
    return (
        "ELinFormer of the default shape and the same model with softmax attention (PyTorch's fused kernel, which "
        "stores no weights), "
        "window 12, horizon 12, speeds of a simulated freeway. Times are the least of several; those of a step are "
        f"over its number of windows. Sizes with a predicted time over {options.limit:.0f} s are left out. Weights: "
        "computed bytes of softmax's weights, if they are stored (one window, 8 heads, float32): in a step those "
        "of all three layers, which its backward needs, and in a forecast those of one."
    )


def _options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small sizes, under a minute, nothing written")
    parser.add_argument("--series", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, help="to spend on the repeats of a measurement")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds that a step or forecast may take")
    options = parser.parse_args(arguments)
    options.series = options.series or ([256, 1024] if options.quick else SERIES)
    options.seconds = options.seconds or (0.5 if options.quick else 4.0)
    return options


if __name__ == "__main__":
    main()
