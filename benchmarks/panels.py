"""Measure a panel that is larger than the memory it takes: convert, open, scale and train.

    python -m benchmarks.panels --quick

Every stage runs in a process of its own. Memory is anonymous memory (`RssAnon` of Linux), read a hundred times a
second: the system can drop pages of mapped files at any time, so they do not count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import torch

from benchmarks._common import OtherLoad, environment, environment_text, load_warning, write_results
from benchmarks._memory import PeakMemory
from benchmarks._steps import FewSteps
from elinformer._allocator import keep_freed_memory
from elinformer.data.io.convert import convert_panel
from elinformer.data.io.folder import open_panel
from elinformer.data.panel import fingerprint
from elinformer.data.reach import Reach, window_origins
from elinformer.data.scaling import measure
from elinformer.data.windows import WindowDataset
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FULL, QUICK = (35_040, 8_600), (2_880, 860)
ROWS = 480  # of the source, written at once
WINDOW = HORIZON = 12
BATCH = 16
MIB = 1 << 20


def main() -> None:
    """Measure, print and write."""
    options = _options()
    shape = QUICK if options.quick else FULL
    about, notes = environment("cpu", options.threads), [note for note in [load_warning()] if note]
    title = f"# A panel of {shape[0]:,} steps x {shape[1]:,} series ({4 * shape[0] * shape[1] / 1e9:.2f} GB)"
    print(f"{title}\n\n{environment_text(about)}\n", *notes, sep="\n", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, OtherLoad() as others:
        rows = []
        for row in _stages(Path(folder), shape, options.threads):
            rows.append(row)
            print(row, flush=True)
    notes += [note for note in [others.note()] if note]
    table = "\n".join(_lines(rows))
    print(f"\n{table}")
    if not options.quick:
        markdown = "\n\n".join([title, environment_text(about), *notes, table])
        write_results("panels", {"about": about, "notes": notes, "shape": shape, "rows": rows}, markdown)


def _stages(folder: Path, shape: tuple[int, int], threads: int) -> Iterator[dict[str, Any]]:
    panel = folder / "panel"
    for kind, write in (("npz", _write_npz), ("parquet", _write_parquet)):
        source = folder / f"source.{kind}"
        write(source, shape)
        yield _in_child(_convert, threads, source, panel)
        source.unlink()
    yield _in_child(_look, threads, panel)
    yield _in_child(_gather, threads, panel)
    yield _in_child(_train, threads, panel)


def _convert(source: Path, folder: Path) -> dict[str, Any]:
    with PeakMemory() as memory:
        panel = convert_panel(source, folder, name="panel", start=_start(source), freq=_freq(source), overwrite=True)
    size = source.stat().st_size
    about = {"source_mb": round(size / 1e6), "fingerprint": fingerprint(panel)[:15]}
    return _row(memory, f"convert {source.suffix[1:]}", **about)


def _start(source: Path) -> str | None:
    return "2019-01-01" if source.suffix == ".npz" else None


def _freq(source: Path) -> str | None:
    return "15min" if source.suffix == ".npz" else None


def _look(folder: Path) -> dict[str, Any]:
    """Open the panel and measure its training steps, with nothing of it in memory."""
    _forget(folder)
    with PeakMemory() as memory:
        began = time.perf_counter()
        panel = open_panel(folder)
        opened = time.perf_counter() - began
        end = int(0.6 * panel.n_steps)
        measure(panel.values[:end], panel.mask[:end])
    return _row(memory, "open and scale, cold", open_seconds=round(opened, 4))


def _gather(folder: Path) -> dict[str, Any]:
    """Read random batches with nothing of the panel in memory, so that every page comes from the disk."""
    panel, reach = open_panel(folder), Reach(WINDOW, HORIZON)
    windows = WindowDataset(panel, None, window_origins((0, panel.n_steps), reach), reach)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))[: 20 * BATCH].split(BATCH)
    _forget(folder)
    with PeakMemory() as memory:
        for batch in order:
            windows[batch.tolist()]
    return _row(memory, "20 batches, cold", ms_a_batch=round(1e3 * memory.seconds / len(order), 2))


def _train(folder: Path) -> dict[str, Any]:
    """Set up training and take three steps; the validation part is a few windows."""
    loading, read = [0.0], WindowDataset.__getitem__

    def timed(self: WindowDataset, indices: list[int]) -> object:
        began = time.perf_counter()
        batch = read(self, indices)
        loading[0] += time.perf_counter() - began
        return batch

    _forget(folder)
    panel, steps = open_panel(folder), FewSteps(3)
    few = 2 * HORIZON / panel.n_steps
    forecaster = Forecaster(
        WINDOW, HORIZON, split=(0.6, few, 0.4 - few), training=TrainingConfig(epochs=1, batch_size=BATCH, device="cpu")
    )
    WindowDataset.__getitem__ = timed  # pyright: ignore[reportAttributeAccessIssue]
    with PeakMemory() as memory:
        forecaster.fit(panel, callbacks=[steps])
    share = loading[0] / sum(steps.each)
    return _row(
        memory, "set up and train 3 steps", seconds_a_step=round(sum(steps.each) / 3, 2), loading_share=f"{share:.2%}"
    )


def _row(memory: PeakMemory, stage: str, **more: object) -> dict[str, Any]:
    """Make a row of the table."""
    return {"stage": stage, "seconds": round(memory.seconds, 2), "peak_mib": round(memory.peak / MIB), **more}


def _forget(folder: Path) -> None:
    """Remove the files of a panel from the page cache."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _in_child(work: Callable[..., dict[str, Any]], threads: int, *arguments: Path) -> dict[str, Any]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin, initargs=(threads,)) as pool:
        return pool.submit(work, *arguments).result()


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()  # as the command does


def _blocks(shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield blocks of daily rhythms of different size, with noise and a fiftieth missing."""
    rng = np.random.default_rng(0)
    size = rng.uniform(50, 500, shape[1]).astype(np.float32)
    for start in range(0, shape[0], ROWS):
        steps = np.arange(start, min(start + ROWS, shape[0]), dtype=np.float32)[:, None]
        block = size * (1.2 + np.sin(2 * np.pi * steps / 96))
        block += rng.standard_normal(block.shape, np.float32) * (0.1 * size)
        block[rng.random(block.shape, np.float32) < 0.02] = np.nan
        yield block


def _write_npz(path: Path, shape: tuple[int, int]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with zipfile.ZipFile(path, "w") as archive, archive.open("data.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in _blocks(shape):
            file.write(block.data)


def _write_parquet(path: Path, shape: tuple[int, int]) -> None:
    names = [str(i) for i in range(shape[1])]
    schema = pa.schema([("time", pa.timestamp("ns")), *((name, pa.float32()) for name in names)])
    first = np.datetime64("2019-01-01", "ns")
    with pa_parquet.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
        for start, rows in _quarters(shape):
            times = first + (start + np.arange(len(rows))) * np.timedelta64(15, "m")
            writer.write_table(pa.table([times, *rows.T], schema=schema))


def _quarters(shape: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks as long as row groups, which take a page of their own for every column."""
    together: list[np.ndarray] = []
    for i, block in enumerate(_blocks(shape), 1):
        together.append(block)
        if i % 18 == 0 or i * ROWS >= shape[0]:
            yield (i - len(together)) * ROWS, np.concatenate(together)
            together.clear()


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| stage | seconds | most anonymous memory, MiB | |"
    yield "| --- | ---: | ---: | --- |"
    for row in rows:
        more = ", ".join(
            f"{name.replace('_', ' ')} {row[name]}" for name in row if name not in {"stage", "seconds", "peak_mib"}
        )
        yield f"| {row['stage']} | {row['seconds']:.1f} | {row['peak_mib']:,} | {more} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure panels on disk.")
    parser.add_argument("--quick", action="store_true", help="a small panel, and no result file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the files go, about three times the panel")
    return parser.parse_args()


if __name__ == "__main__":
    main()
