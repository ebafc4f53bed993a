"""Whole comparisons, with workers: what one of them suffers, and what is left when all of it is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from elinformer.comparison import compare
from elinformer.comparison.runner import _checked_seeds, _termination_is_an_interrupt
from elinformer.data.panel import Panel
from elinformer.errors import InputError

SETTINGS: dict[str, Any] = {"window": 6, "horizon": 3, "training": {"epochs": 1}}
SLOW = """window = 6
horizon = 3
[training]
epochs = 60
checkpoint_minutes = 0
"""
"""Sixty epochs of five steps, each of which takes 30 ms: long enough to be killed."""


def results(out: str | Path) -> dict[str, Any]:
    return json.loads((Path(out) / "results.json").read_text(encoding="utf-8"))


def start(*arguments: str) -> subprocess.Popen[str]:
    """`elinformer compare`, in a process of its own."""
    command = [sys.executable, "-m", "elinformer", "compare", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(pattern: str, seconds: float = 120) -> Path:
    """The first file that fits."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in Path().glob(pattern):
            return path
        time.sleep(0.05)
    pytest.fail(f"no {pattern} after {seconds} s: {[str(path) for path in Path().rglob('*')]}")


def workers(out: Path) -> list[int]:
    """Processes at work on the jobs of a folder."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue
        if "elinformer.comparison.job" in words and any(word.startswith(str(out)) for word in words):
            found.append(int(path.parent.name))
    return found


def assert_no_worker(out: Path) -> None:
    if not Path("/proc/self").exists():
        return
    end = time.monotonic() + 20
    while workers(out.resolve()):
        assert time.monotonic() < end, "a worker outlived its comparison"
        time.sleep(0.1)


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A comparison in `out` of a model that takes its time, once it has written a checkpoint."""
    (folder / "slow.toml").write_text(SLOW, encoding="utf-8")
    process = start("d.npz", "--models", "last_value,contestants:Slow", *slow_options())
    try:
        wait_for("out/runs/d/last_value/seed-0.json")
        wait_for("out/runs/d/contestants-Slow/.seed-0-*/checkpoints/*.safetensors")
        yield process
    finally:
        process.kill()
        process.communicate()


def slow_options() -> list[str]:
    return ["--seeds", "1", "--config", "slow.toml", "--out", "out", "--jobs", "2"]


@pytest.mark.slow
def test_a_model_that_fails_or_is_killed_is_noted_and_the_others_go_on(folder: Path) -> None:
    models = ["contestants:Broken", "contestants:Killed", "contestants:Flat", "last_value"]
    found = compare("d.npz", models, out="out", seeds=1, settings=SETTINGS, jobs=2)
    errors = {run["model"]: run["error"] for run in found["failed"]}
    assert errors["contestants:Broken"] == "RuntimeError: this model is broken"
    assert errors["contestants:Killed"].startswith("killed by SIGKILL: out of memory")
    assert set(found["summary"]["d"]) == {"contestants:Flat", "last_value"}
    assert "this model\nis broken" in (folder / "out/runs/d/contestants-Broken/seed-0.log").read_text()
    assert found == results("out")

    before = {path: path.stat().st_mtime_ns for path in folder.glob("out/runs/d/*/seed-0.json")}
    mended = (folder / "contestants.py").read_text().replace('raise RuntimeError("this model\\nis broken")', "return 0")
    assert mended.count("return 0") == 1
    (folder / "contestants.py").write_text(mended.replace("return 0", "return super().forward(batch)"))
    found = compare("d.npz", models, out="out", seeds=1, settings=SETTINGS, jobs=2)
    assert [run["model"] for run in found["failed"]] == ["contestants:Killed"]
    for model in ("contestants-Flat", "last_value"):
        path = folder / f"out/runs/d/{model}/seed-0.json"
        assert path.stat().st_mtime_ns == before[path], "what was done was done again"


@pytest.mark.slow
def test_a_killed_comparison_leaves_no_worker_and_goes_on_from_its_checkpoint(
    folder: Path, running: subprocess.Popen[str]
) -> None:
    done = (folder / "out/runs/d/last_value/seed-0.json").stat().st_mtime_ns
    running.kill()
    running.communicate()
    assert_no_worker(folder / "out")

    again = start("d.npz", "--models", "last_value,contestants:Slow", *slow_options())
    printed, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "[1 of 1] d contestants:Slow seed 0" in errors
    assert "last_value" not in errors
    assert "contestants:Slow" in printed
    assert (folder / "out/runs/d/last_value/seed-0.json").stat().st_mtime_ns == done
    names = sorted(path.name for path in (folder / "out/runs/d/contestants-Slow").iterdir())
    assert names == ["seed-0", "seed-0.json"]

    whole = compare("d.npz", ["contestants:Slow"], out="whole", seeds=1, settings=read_toml("slow.toml"))
    (gone_on,) = [run for run in results("out")["runs"] if run["model"] == "contestants:Slow"]
    assert gone_on["test"] == whole["runs"][0]["test"], "going on changed what comes out"


def read_toml(path: str) -> dict[str, Any]:
    from elinformer.options import read_settings

    return read_settings(path)


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_keeps_what_is_done(folder: Path, running: subprocess.Popen[str]) -> None:
    os.kill(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors.rstrip().endswith("interrupted: the same command resumes from here")
    assert_no_worker(folder / "out")
    found = results("out")
    assert [run["model"] for run in found["runs"]] == ["last_value"]
    assert found["missing"] == [{"data": "d", "model": "contestants:Slow", "seed": 0}]
    assert list(folder.glob("out/runs/d/contestants-Slow/.seed-0-*/checkpoints/*.safetensors"))


def test_termination_is_as_ctrl_c_while_a_comparison_is_at_work_also_in_the_background() -> None:
    ours, before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it runs in the background
    try:
        with pytest.raises(KeyboardInterrupt), _termination_is_an_interrupt():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, ours)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_a_budget_that_is_used_up_ends_the_comparison_and_names_what_is_missing(folder: Path) -> None:
    settings = {**SETTINGS, "training": {"epochs": 10_000}}
    models = ["last_value", "contestants:Slow"]
    began = time.monotonic()
    found = compare("d.npz", models, out="out", seeds=2, settings=settings, jobs=2, max_core_minutes=1.5)
    assert time.monotonic() - began < 120
    assert {(run["model"], run["seed"]) for run in found["missing"]} == {
        ("contestants:Slow", 0),
        ("contestants:Slow", 1),
    }
    assert [run["model"] for run in found["runs"]] == ["last_value"]
    assert found["failed"] == []


@pytest.mark.slow
def test_panels_and_classes_can_be_passed_from_python(folder: Path, hourly_panel: Panel) -> None:
    import contestants  # pyright: ignore[reportMissingImports]

    models = {"flat": contestants.Flat, "wide": {"name": "contestants:Flat", "hidden": 9}}
    found = compare(hourly_panel, models, out="out", seeds=[3], settings=SETTINGS, console=Console(quiet=True))
    parameters = {run["model"]: run["parameters"] for run in found["runs"]}
    assert parameters == {"flat": 6 * 4 + 4 + 4 * 3 + 3, "wide": 6 * 9 + 9 + 9 * 3 + 3}
    assert [run["seed"] for run in found["runs"]] == [3, 3]
    assert found["data"]["hourly"]["window"] == 6
    other = {**SETTINGS, "window": 5}
    with pytest.raises(InputError, match=r"hourly flat seed 3 was run with .* window 5 in place of 6.*--overwrite"):
        compare(hourly_panel, models, out="out", settings=other)
    printed = Console(file=StringIO(), width=200)
    found = compare(hourly_panel, ["last_value"], out="out", settings=other, overwrite=True, console=printed)
    assert "removed hourly flat seed 3: window 5 in place of 6" in cast("StringIO", printed.file).getvalue()
    assert [run["model"] for run in found["runs"]] == ["last_value"]


@pytest.mark.parametrize("seeds", [2, np.int64(2), [0, 1], np.arange(2)], ids=repr)
def test_seeds_are_a_number_or_several_of_numpy_too(seeds: Any) -> None:
    assert _checked_seeds(seeds) == [0, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 0}, "one or more different seeds"),
        ({"seeds": [1, 1]}, "one or more different seeds"),
        ({"seeds": [-1]}, "one or more different seeds"),
        ({"jobs": 0}, "at least 1 job at once"),
        ({"max_core_minutes": 0}, "max_core_minutes above 0"),
        ({"device": "gpu"}, "device out of auto, cpu, cuda, mps"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_the_folder_is_there(
    folder: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        compare("d.npz", ["stid"], out="out", settings=SETTINGS, **options)
    assert not (folder / "out").exists()
