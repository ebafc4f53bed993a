"""Compare the forecast of one window of very many series at once with that in partitions: result, time, memory.

    python -m benchmarks.many_series --series 100000

Every row is measured in a process of its own, which is forked after all imports. Memory is the peak above the start,
without mapped files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks._common import OtherLoad, environment, environment_text, load_warning, write_results
from benchmarks._memory import PeakMemory
from elinformer.batch import Batch
from elinformer.models import Sizes, build_model
from elinformer.models.scaled import ScaledModel
from elinformer.partition import PartitionedForecast

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW, HORIZON, SLOTS = 12, 12, 288


def main() -> None:
    """Measure, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    notes = [note for note in [load_warning()] if note]
    plans = [(n, None, False) for n in options.series]
    plans += [(n, at_once, False) for n in options.series for at_once in options.at_once]
    plans += [(max(options.series), min(options.at_once), True)]
    with OtherLoad() as other_load, tempfile.TemporaryDirectory() as folder:
        rows = [_in_child(plan, Path(folder)) for plan in plans]
    notes += [note for note in [other_load.note()] if note]
    about = environment("cpu", options.threads)
    text = "\n\n".join(["# One window of many series", environment_text(about), *notes, _setting(), table(rows)])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "notes": notes, "rows": rows}, text)


def table(rows: list[dict[str, Any]]) -> str:
    """Make a table with a line for each plan."""
    head = ("series", "at once", "tokens in", "seconds", "memory, MiB", "largest difference")
    lines = [f"| {' | '.join(head)} |", "|" + " ---: |" * len(head)]
    for row in rows:
        cells = (
            f"{row['series']:,}",
            "all" if row["at_once"] is None else f"{row['at_once']:,}",
            "a file" if row["in_file"] else "memory",
            f"{row['seconds']:.1f}",
            f"{row['peak_bytes'] / 2**20:,.0f}",
            "" if row["at_once"] is None else f"{row['difference']:.1e}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _in_child(plan: tuple[int, int | None, bool], folder: Path) -> dict[str, Any]:
    result = folder / "result.npy"
    if not (child := os.fork()):
        np.save(result, _measured(*plan, folder))
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"the child of {plan} ended before it was done: was there enough memory?")
    seconds, peak, difference = np.load(result)
    series, at_once, in_file = plan
    row = {"series": series, "at_once": at_once, "in_file": in_file}
    return {**row, "seconds": seconds, "peak_bytes": peak, "difference": difference}


def _measured(series: int, at_once: int | None, in_file: bool, folder: Path) -> tuple[float, float, float]:
    """Seconds, bytes, and the largest difference from all series at once, which the first plan writes to a file."""
    whole, batch = _model(series), _batch(series)
    forecast_of = whole if at_once is None else PartitionedForecast(whole, at_once, folder=folder if in_file else None)
    with PeakMemory(every=0.003) as memory, torch.inference_mode():
        forecast = forecast_of(batch).numpy()
    if at_once is None:
        np.save(folder / f"{series}.npy", forecast)
    expected = np.load(folder / f"{series}.npy", mmap_mode="r")
    scale = float(np.abs(expected).max())
    return memory.seconds, float(memory.peak - memory.start), float(np.abs(forecast - expected).max()) / scale


def _model(series: int) -> ScaledModel:
    torch.manual_seed(0)
    model = build_model("elinformer", Sizes(window=WINDOW, horizon=HORIZON, n_series=series, n_slots=SLOTS))
    rng = np.random.default_rng(0)
    mean, std = (rng.random((series, 1), dtype=np.float32) + 1 for _ in range(2))
    for parameter in model.parameters():  # a new model forecasts the last value
        torch.nn.init.normal_(parameter, std=0.05)
    return ScaledModel(model, mean, std).eval()


def _batch(series: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(1, WINDOW, series, 1, generator=generator)
    mask = torch.rand(values.shape, generator=generator) < 0.9
    return Batch(values, mask, torch.ones(1, WINDOW + HORIZON, 2, dtype=torch.int64))


def _setting() -> str:
    return (
        f"ELinFormer of the default shape, window {WINDOW}, horizon {HORIZON}, weights drawn at random. Differences "
        "are from all series at once, over the largest forecast."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers: Callable[[str], list[int]] = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--series", type=numbers, default=[25_000, 100_000])
    parser.add_argument("--at-once", type=numbers, default=[10_000, 2_500])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="name of the files in benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
