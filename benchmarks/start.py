"""Start of the commands, beside the imports that they cannot do without.

    python -m benchmarks.start --rounds 7 --out start

Every command and its import run in turn in processes of their own, and the fastest of all rounds counts. The ratio is
that of the command to the import; `forecast` counts without its own computing, which a second forecast in the same
process takes. On a busy machine the ratio of processor time says more than that of wall-clock time.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._common import OtherLoad, environment, environment_text, load_warning, write_results
from elinformer.options import Settings
from elinformer.workflows import train_run

TORCH, PANDAS = "import torch", "import pandas, pyarrow"

SECOND_FORECAST = """
import time
from elinformer.workflows import forecast_run
forecast_run("run", "warm.csv")
began = time.perf_counter()
forecast_run("run", "again.csv")
print(time.perf_counter() - began)
"""


class Start(NamedTuple):
    """A command and its goal.

    Attributes:
        name: Name in the table.
        arguments: Arguments of `elinformer`.
        code: Exit code.
        beside: Import that it is compared with.
        goal: Largest ratio of the two.
    """

    name: str
    arguments: tuple[str, ...]
    code: int
    beside: str
    goal: float


STARTS = (
    Start("help", ("--help",), 0, TORCH, 0.4),
    Start("help of train", ("train", "--help"), 0, TORCH, 0.4),
    Start("train, no such file", ("train", "missing.csv", "--out", "new"), 2, PANDAS, 1.5),
    Start("train, broken file", ("train", "broken.csv", "--out", "new"), 2, PANDAS, 1.5),
    Start("train, option that cannot be", ("train", "d.csv", "--out", "new", "--epochs", "0"), 2, PANDAS, 1.5),
    Start("compare, no such file", ("compare", "missing.csv", "--out", "new"), 2, PANDAS, 1.5),
    Start("info, no run", ("info", "nowhere"), 2, PANDAS, 1.5),
    Start("evaluate, no run", ("evaluate", "nowhere"), 2, PANDAS, 1.5),
    Start("forecast, no run", ("forecast", "nowhere", "--out", "f.csv"), 2, PANDAS, 1.5),
    Start("forecast", ("forecast", "run", "--out", "f.csv"), 0, TORCH, 1.6),
)


def main() -> None:
    """Measure, print a table, and write it where asked."""
    options = _options()
    print(load_warning() or "")
    with tempfile.TemporaryDirectory() as name, OtherLoad() as others:
        folder = Path(name)
        _prepare(folder)
        rows = [_measured(start, folder, options.rounds) for start in STARTS]
    about = environment("cpu", 1)
    text = "\n".join([environment_text(about), "", *_lines(rows), "", *filter(None, [others.note()])])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "rounds": options.rounds, "rows": rows}, text)


def _prepare(folder: Path) -> None:
    """Write data, a broken file and a run of a small model."""
    hours = np.datetime64("2024-01-01", "h") + np.arange(600)
    values = 3 + np.sin(np.arange(600) / 4)[:, None] + np.random.default_rng(0).normal(0, 0.1, (600, 8))
    lines = [f"{hour},{','.join(f'{x:.3f}' for x in row)}" for hour, row in zip(hours, values, strict=True)]
    (folder / "d.csv").write_text("\n".join(["time,a,b,c,d,e,f,g,h", *lines]))
    (folder / "broken.csv").write_text("\n".join(["time,a,b", *(f"{hour},1,many" for hour in hours)]))
    settings = Settings().updated({"model": {"n_layers": 1}, "training": {"epochs": 1}})
    train_run(str(folder / "d.csv"), folder / "run", settings)


def _measured(start: Start, folder: Path, rounds: int) -> dict[str, Any]:
    """Time a command and its import in turn; the first round only warms the disk's cache."""
    command = [sys.executable, "-m", "elinformer", *start.arguments]
    beside = [sys.executable, "-c", start.beside]
    pairs = [(_seconds(command, folder, start.code), _seconds(beside, folder, 0)) for _ in range(rounds + 1)][1:]
    took, base = (np.min(column, axis=0) for column in zip(*pairs, strict=True))
    computing = _computing(folder) if start.name == "forecast" else 0.0
    ratio, of_processor = (took - computing) / base
    return {
        "start": start.name,
        "seconds": round(float(took[0]), 3),
        "computing": round(computing, 3),
        "beside": start.beside,
        "beside_seconds": round(float(base[0]), 3),
        "ratio": round(float(ratio), 2),
        "ratio_of_processor_time": round(float(of_processor), 2),
        "goal": start.goal,
        "reached": bool(ratio <= start.goal),
    }


def _seconds(command: list[str], folder: Path, code: int) -> tuple[float, float]:
    """Run a command; returns its seconds by the clock, and those of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        raise RuntimeError(f"expected exit code {code} of {' '.join(command)}, got {done.returncode}: {done.stderr}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _computing(folder: Path) -> float:
    command = [sys.executable, "-c", SECOND_FORECAST]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=True)
    return float(done.stdout)


def _environment() -> dict[str, str]:
    """Return the environment of the commands: one thread, the packages of this process, bytecode kept as for users."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    heads = "start", "seconds", "beside", "seconds", "ratio", "of processor time", "goal"
    lines = [f"| {' | '.join(heads)} |", "| --- | ---: | --- | ---: | ---: | ---: | ---: |"]
    for row in rows:
        own = f" ({row['computing']:.2f} of computing)" if row["computing"] else ""
        goal = f"{row['goal']}{'' if row['reached'] else ' missed'}"
        cells = row["start"], f"{row['seconds']:.2f}{own}", f"`{row['beside']}`", f"{row['beside_seconds']:.2f}"
        ratios = f"{row['ratio']:.2f}", f"{row['ratio_of_processor_time']:.2f}"
        lines.append(f"| {' | '.join([*cells, *ratios, goal])} |")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="write benchmarks/results/OUT.json and .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
