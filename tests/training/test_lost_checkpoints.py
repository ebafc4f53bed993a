"""Checkpoints that were damaged, or for which there was no room: training goes on from the one before."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from power_cuts import AtStep, assert_same, change, checkpoints, power_cut
from rich.console import Console

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    make: Callable[..., Forecaster], hourly_panel: Panel, cut: Path
) -> None:
    screen = io.StringIO()
    change(checkpoints(cut)[-1], -100)
    resumed = Forecaster.resume(cut, hourly_panel, console=Console(file=screen, width=200))
    assert screen.getvalue().splitlines() == [
        "checkpoint step-00000008.safetensors is damaged (its checksum differs)",
        "going on from step 7 of 15",
    ]
    assert_same(resumed, make().fit(hourly_panel))


def test_without_any_whole_checkpoint_training_starts_over_and_says_so(
    make: Callable[..., Forecaster], hourly_panel: Panel, cut: Path
) -> None:
    screen = io.StringIO()
    for path in checkpoints(cut):
        path.write_bytes(b"")
    resumed = Forecaster.resume(cut, hourly_panel, console=Console(file=screen, width=200))
    assert "no checkpoint is left: training starts over" in screen.getvalue()
    assert_same(resumed, make().fit(hourly_panel))


def test_a_checkpoint_of_another_model_is_refused(hourly_panel: Panel, cut: Path) -> None:
    config = json.loads((cut / "config.json").read_text(encoding="utf-8"))
    config["model"]["options"]["window_width"] = 16
    (cut / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match="expected a checkpoint of this training, but its parts differ") as refusal:
        Forecaster.resume(cut, hourly_panel)
    assert "\n" not in str(refusal.value)


@contextmanager
def files_of_at_most(size: int) -> Generator[Callable[[], None]]:
    """A function after which the disk is as if full where a file has so many bytes, until the block ends."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_with_one_sentence_and_the_checkpoints_before(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    run = tmp_path / "run"
    with files_of_at_most(1000) as fill_disk:
        at_step(8, fill_disk)
        with pytest.raises(InputError) as refusal:
            make().fit(hourly_panel, run=run)
    message = str(refusal.value)
    assert "step-00000008.safetensors, but File too large" in message
    assert message.endswith(f"so make room and go on with `elinformer train --resume {run}`")
    assert "\n" not in message
    assert [path.name for path in checkpoints(run)] == ["step-00000006.safetensors", "step-00000007.safetensors"]
    at_step(None, power_cut)
    assert_same(Forecaster.resume(run, hourly_panel), make().fit(hourly_panel))


def test_a_disk_that_is_full_when_the_run_is_finished_leaves_it_unfinished(hourly_panel: Panel, cut: Path) -> None:
    forecaster = Forecaster.resume(cut, hourly_panel)
    before = checkpoints(cut)
    with files_of_at_most(1000) as fill_disk:
        fill_disk()
        with pytest.raises(InputError, match="but File too large") as refusal:
            forecaster.save(cut)
    assert "\n" not in str(refusal.value)
    assert checkpoints(cut) == before
    assert_same(Forecaster.resume(cut, hourly_panel), forecaster)


def test_what_a_kill_left_half_written_goes_when_training_goes_on(hourly_panel: Panel, cut: Path) -> None:
    for name in (".config.4711.json", ".model.4711.safetensors", "checkpoints/.step-00000009.4711.safetensors"):
        (cut / name).write_bytes(b"half")
    Forecaster.resume(cut, hourly_panel)
    assert not list(cut.rglob(".*"))
