"""Compare the speed of two checkouts, side by side: a training step, a batch of forecasts, and one forecast.

    python -m benchmarks.versus OTHER/src src

Two processes, one for each checkout, take turns: a step of A, the same step of B, and so on, so that a busy machine
slows both down alike. Each pair gives a ratio B / A. The result is the median of all ratios, over several pairs of
processes; below 1, B is faster. It is given for the time on the wall and for the time of the CPU, which other
processes disturb less. All use one thread and the default ELinFormer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._common import environment, environment_text, load_warning, write_results
from benchmarks._versus import BATCH, CASES, HORIZON

CLOCKS = ("wall", "cpu")
PARTS = ("training step", f"backtest of {BATCH} windows", "predict")
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure, print and write."""
    options = _options()
    about, notes = environment("cpu", 1), [note for note in [load_warning()] if note]
    rows = []
    for name in options.cases:
        rows += measured(name, options)
        print(*rows[-len(PARTS) :], sep="\n", flush=True)
    text = "\n\n".join(["# Two checkouts", environment_text(about), *notes, _setting(options), table(rows)])
    print(f"\n{text}")
    if options.out:
        write_results(options.out, {"about": about, "notes": notes, "rows": rows}, text)


def measured(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure a row for each part of a case."""
    seconds = np.array([_race(name, options) for _ in range(options.processes)])  # (processes, parts, steps, 2, clocks)
    rows = []
    for part, found in zip(PARTS, seconds.swapaxes(0, 1), strict=True):
        row: dict[str, Any] = {"case": name, "part": part}
        for clock, (a, b) in zip(CLOCKS, np.moveaxis(found, (-1, -2), (0, 1)), strict=True):  # (processes, steps) each
            row[clock] = {
                "a": float(np.median(a)),
                "b": float(np.median(b)),
                "ratio": float(np.median(b / a)),
                "quartiles": np.percentile(b / a, (25, 75)).tolist(),
                "by_process": np.median(b / a, axis=1).tolist(),
            }
        rows.append(row)
    return rows


def _race(name: str, options: argparse.Namespace) -> list[list[list[list[float]]]]:
    """Seconds (parts, steps, 2, clocks) of two new processes that take turns."""
    children = [_child(source, name, options.steps) for source in (options.a, options.b)]
    try:
        pairs = [[_seconds(child) for child in children] for _ in range(len(PARTS) * options.steps)]
    finally:
        for child in children:
            child.kill()
            child.wait()
    return [pairs[i * options.steps : (i + 1) * options.steps] for i in range(len(PARTS))]


def _child(source: Path, name: str, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks._versus", name, str(steps)]
    environ = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    imported = _line(child)
    if not Path(imported).is_relative_to(source):
        child.kill()
        raise SystemExit(f"expected elinformer of {source}, but {imported} was imported")
    return child


def _seconds(child: subprocess.Popen[str]) -> list[float]:
    """Ask for a measurement and wait for its end."""
    if child.stdin is None:
        raise AssertionError("the process was started with a pipe")
    child.stdin.write("\n")
    child.stdin.flush()
    return _line(child)


def _line(child: subprocess.Popen[str]) -> Any:
    line = "" if child.stdout is None else child.stdout.readline()
    if not line:
        raise SystemExit(f"the process of {child.args} ended before it was done: see its message above")
    return json.loads(line)


def table(rows: list[dict[str, Any]]) -> str:
    """Make a table with a line for each case and part."""
    lines = [
        "| case | part | A | B | B / A | quartiles | B / A, CPU time | quartiles |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [row["case"], row["part"], *(f"{1e3 * row['wall'][name]:.1f} ms" for name in ("a", "b"))]
        for clock in CLOCKS:
            cells += [f"{row[clock]['ratio']:.3f}", "{:.3f} to {:.3f}".format(*row[clock]["quartiles"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _setting(options: argparse.Namespace) -> str:
    a, b = options.names
    return (
        f"A: {a}; B: {b}. Batches of {BATCH} windows, horizon {HORIZON}, window 12 unless said, one channel, one "
        f"thread. {options.processes} pairs of processes, {options.steps} pairs of calls each."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, metavar="SRC_A", help="the folder that holds elinformer, of the first checkout")
    parser.add_argument("b", type=Path, metavar="SRC_B", help="the same of the second")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE")
    parser.add_argument("--names", nargs=2, default=("the first", "the second"), help="of the checkouts in the text")
    parser.add_argument("--processes", type=int, default=3, help="pairs of processes a case")
    parser.add_argument("--steps", type=int, default=40, help="pairs of calls a pair of processes")
    parser.add_argument("--out", help="name of the files in benchmarks/results")
    options = parser.parse_args()
    options.a, options.b = options.a.resolve(), options.b.resolve()
    return options


if __name__ == "__main__":
    main()
