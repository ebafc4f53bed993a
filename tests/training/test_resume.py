"""Going on where training was ended: the weights are those of a training that never was."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule

Weights = dict[str, Tensor]
AtStep = Callable[[int | None, Callable[[], Any]], None]

OPTIONS: dict[str, dict[str, Any]] = {
    "one cycle": {"epochs": 3},
    "micro-batches": {"epochs": 2, "batch_size": 40, "tokens_at_once": 60},
    "series in parts": {"epochs": 3, "series_at_once": 3},
    "patience": {"epochs": 6, "patience": 2, "learning_rate": 0.5},
}


class PowerCutError(Exception):
    """Ends a training without notice."""


def power_cut() -> None:
    raise PowerCutError


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def weights_of(forecaster: Forecaster) -> Weights:
    return forecaster.module.model.state_dict()


def assert_same(forecaster: Forecaster, other: Forecaster) -> None:
    weights, others = weights_of(forecaster), weights_of(other)
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert torch.equal(weight, others[name]), name


def change(path: Path, place: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").iterdir())


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> AtStep:
    """Call something at the n-th forward pass of training from now (from 1), or never."""
    forward = ForecastModule.training_step

    def set_up(at: int | None, call: Callable[[], Any] = power_cut) -> None:
        passes = iter(range(1, 1_000_000))

        def step(self: ForecastModule, *arguments: Any) -> Tensor:
            if next(passes) == at:
                call()
            return forward(self, *arguments)

        monkeypatch.setattr(ForecastModule, "training_step", step)

    return set_up


@pytest.fixture
def make(make_forecaster: Callable[..., Forecaster]) -> Callable[..., Forecaster]:
    """A forecaster that trains for 15 steps and writes a checkpoint after every other."""

    def make(**options: Any) -> Forecaster:
        return make_forecaster(**{"epochs": 3, "batch_size": 32, "checkpoint_steps": 2} | options)

    return make


@pytest.fixture
def cut(make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep) -> Path:
    """A run whose training was cut off in its ninth step, with checkpoints after the sixth and the eighth."""
    at_step(9, power_cut)
    with pytest.raises(PowerCutError):
        make().fit(hourly_panel, run=tmp_path / "run")
    at_step(None, power_cut)
    return tmp_path / "run"


def cut_off_and_resume(make: Callable[[], Forecaster], panel: Panel, run: Path, at_step: AtStep, at: int) -> Forecaster:
    at_step(at, power_cut)
    with pytest.raises(PowerCutError):
        make().fit(panel, run=run)
    at_step(None, power_cut)
    return Forecaster.resume(run, panel, console=Console(file=io.StringIO()))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("passes", [(1, 6, 8), pytest.param(range(1, 60), marks=pytest.mark.slow)], ids=["some", "all"])
def test_training_that_is_cut_off_anywhere_ends_with_the_same_weights(  # noqa: PLR0917 two parameters, four fixtures
    name: str, passes: Sequence[int], make: Any, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    def new() -> Forecaster:
        return make(**OPTIONS[name])

    at_step(None, power_cut)
    whole, seen = new().fit(hourly_panel), 0
    for at in passes:
        try:
            resumed = cut_off_and_resume(new, hourly_panel, tmp_path / str(at), at_step, at)
        except pytest.fail.Exception:  # training was over before
            break
        seen += 1
        assert_same(resumed, whole)
        for field in ("epochs", "best_epoch", "interrupted", "skipped_steps", "diverged"):
            assert getattr(resumed.fit_result, field) == getattr(whole.fit_result, field)
    assert seen == 3 or 10 < seen < 59


def test_a_training_may_be_cut_off_again_and_again(
    make: Callable[..., Forecaster], hourly_panel: Panel, cut: Path, at_step: AtStep
) -> None:
    for _ in range(2):
        at_step(4, power_cut)
        with pytest.raises(PowerCutError):
            Forecaster.resume(cut, hourly_panel)
    at_step(None, power_cut)
    assert_same(Forecaster.resume(cut, hourly_panel), make().fit(hourly_panel))


def test_the_run_is_there_before_the_first_step(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    at_step(1, power_cut)
    with pytest.raises(PowerCutError):
        make().fit(hourly_panel, run=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["state"] == "training"
    assert config["training"]["checkpoint_steps"] == 2
    assert config["data"]["name"] == "hourly"
    assert config["data"]["fingerprint"].startswith("sha256:")


def test_an_unfinished_run_is_not_loaded_but_says_how_to_go_on(cut: Path) -> None:
    with pytest.raises(InputError) as refusal:
        Forecaster.load(cut)
    expected = f"expected a finished run, but {cut} is at step 8 of 15: go on with `elinformer train --resume {cut}`"
    assert str(refusal.value) == expected
    for path in checkpoints(cut):
        path.unlink()
    with pytest.raises(InputError, match="is without a checkpoint so far: go on with"):
        Forecaster.load(cut)


def test_an_unfinished_run_is_not_replaced_by_another(
    make: Callable[..., Forecaster], hourly_panel: Panel, cut: Path
) -> None:
    with pytest.raises(InputError, match=r"holds a run at step 8 of 15: go on with .* or pass --overwrite"):
        make().fit(hourly_panel, run=cut)


def test_a_run_that_another_process_trains_is_left_alone(
    make: Callable[..., Forecaster], hourly_panel: Panel, cut: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")
    other = os.open(cut, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    before = checkpoints(cut)
    forecaster = make()
    with pytest.raises(InputError, match=r"expected a folder .* but one is at work in .*run: wait until it has ended"):
        Forecaster.resume(cut, hourly_panel)
    with pytest.raises(InputError, match="expected a folder that no other process writes to"):
        forecaster.fit(hourly_panel, run=forecaster.new_run(cut, hourly_panel, overwrite=True))
    assert checkpoints(cut) == before
    os.close(other)
    Forecaster.resume(cut, hourly_panel)


def test_a_run_is_finished_where_it_stands(hourly_panel: Panel, cut: Path) -> None:
    forecaster = Forecaster.resume(cut, hourly_panel)
    forecaster.save(cut)
    names = ["config.json", "model.safetensors", "panel.json", "scaler.safetensors"]
    assert sorted(path.name for path in cut.iterdir()) == names
    assert [path.name for path in cut.parent.iterdir()] == ["run"]
    loaded = Forecaster.load(cut)
    assert_same(loaded, forecaster)
    with pytest.raises(InputError, match=r"expected an unfinished run, but .* is finished"):
        Forecaster.resume(cut, hourly_panel)


def test_a_finished_run_is_whole_only_with_its_last_file(
    hourly_panel: Panel, cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecaster = Forecaster.resume(cut, hourly_panel)
    replace = Path.replace
    for n_files in range(4):
        left = iter(range(n_files))

        def die_after(path: Path, target: Path, left: Any = left) -> Path:
            if next(left, None) is None:
                raise PowerCutError
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", die_after)
        with pytest.raises(PowerCutError):
            forecaster.save(cut)
        monkeypatch.setattr(Path, "replace", replace)
        assert_same(Forecaster.resume(cut, hourly_panel), forecaster)


def test_the_time_of_training_adds_up(hourly_panel: Panel, cut: Path) -> None:
    first = Forecaster.resume(cut, hourly_panel).fit_result.seconds
    again = Forecaster.resume(cut, hourly_panel).fit_result.seconds
    assert again > first


def test_lightning_counts_on_where_it_was(hourly_panel: Panel, cut: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
            seen.append((trainer.current_epoch, batch_idx))
            assert trainer.global_step == 5 * trainer.current_epoch + batch_idx

    Forecaster.resume(cut, hourly_panel, callbacks=[Watch()])
    assert seen == [(1, 3), (1, 4), *((2, i) for i in range(5))]


class Memory(pl.Callback):
    """Remembers what no one else does: the mean of the weights over the steps."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.counts: dict[str, Any] = {"steps": 0}

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        weight = next(module.parameters()).detach()
        self.mean = weight.clone() if self.mean is None else 0.9 * self.mean + 0.1 * weight
        self.counts["steps"] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "counts": self.counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.mean, self.counts = state_dict["mean"], state_dict["counts"]


def test_what_a_callback_remembers_is_in_the_checkpoint(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    at_step(None, power_cut)
    whole, resumed = Memory(), Memory()
    make().fit(hourly_panel, callbacks=[whole])
    at_step(9, power_cut)
    with pytest.raises(PowerCutError):
        make().fit(hourly_panel, callbacks=[Memory()], run=tmp_path / "run")
    at_step(None, power_cut)
    Forecaster.resume(tmp_path / "run", hourly_panel, callbacks=[resumed])
    assert resumed.counts == whole.counts == {"steps": 15}
    assert whole.mean is not None
    assert torch.equal(resumed.mean, whole.mean)


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    make: Callable[..., Forecaster], hourly_panel: Panel, cut: Path
) -> None:
    screen = io.StringIO()
    change(checkpoints(cut)[-1], -100)
    resumed = Forecaster.resume(cut, hourly_panel, console=Console(file=screen, width=200))
    assert screen.getvalue().splitlines() == [
        "checkpoint step-00000008.safetensors is damaged (its checksum differs)",
        "going on from step 6 of 15",
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


def test_other_data_are_refused(two_channel_panel: Panel, hourly_panel: Panel, cut: Path) -> None:
    with pytest.raises(InputError, match=r"expected the data that .*run was begun with, but those of hourly differ"):
        Forecaster.resume(cut, two_channel_panel)
    values = hourly_panel.values.copy()
    values[0, 0] += 1
    changed = Panel.from_arrays(values, start="2024-01-01", freq="1h", series=list("abcd"), channels=["flow"])
    with pytest.raises(InputError, match="put the old ones back, or train again with --overwrite"):
        Forecaster.resume(cut, changed)


def test_a_full_disk_ends_with_one_sentence_and_the_checkpoints_before(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = tmp_path / "run"
    at_step(8, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard)))
    try:
        with pytest.raises(InputError) as refusal:
            make().fit(hourly_panel, run=run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(refusal.value)
    assert "step-00000008.safetensors, but File too large" in message
    assert message.endswith(f"so make room and go on with `elinformer train --resume {run}`")
    assert "\n" not in message
    assert [path.name for path in checkpoints(run)] == ["step-00000004.safetensors", "step-00000006.safetensors"]
    at_step(None, power_cut)
    assert_same(Forecaster.resume(run, hourly_panel), make().fit(hourly_panel))


def test_what_ctrl_c_ended_is_a_whole_run_and_can_be_carried_on(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    run = tmp_path / "run"
    at_step(8, ctrl_c)
    forecaster = make(checkpoint_steps=0).fit(hourly_panel, run=run)
    assert forecaster.fit_result.interrupted
    forecaster.save(run)
    assert [path.name for path in checkpoints(run)] == ["step-00000008.safetensors"]
    assert_same(Forecaster.load(run), forecaster)
    at_step(None, power_cut)
    resumed = Forecaster.resume(run, hourly_panel)
    assert_same(resumed, make().fit(hourly_panel))
    resumed.save(run)
    assert not (run / "checkpoints").exists()


def test_a_run_that_ctrl_c_ended_is_unfinished_again_once_it_is_carried_on(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    run = tmp_path / "run"
    at_step(8, ctrl_c)
    make().fit(hourly_panel, run=run).save(run, metrics={"old": True})
    at_step(2, power_cut)
    with pytest.raises(PowerCutError):
        Forecaster.resume(run, hourly_panel)
    with pytest.raises(InputError, match="expected a finished run"):
        Forecaster.load(run)
    at_step(None, power_cut)
    Forecaster.resume(run, hourly_panel).save(run)
    assert not (run / "metrics.json").exists()


def test_checkpoints_by_the_clock_come_when_it_is_time(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    kept = {"checkpoint_steps": 0, "keep_checkpoints": 100}
    make(**kept, checkpoint_minutes=1e-9).fit(hourly_panel, run=tmp_path / "often")
    make(**kept, checkpoint_minutes=0).fit(hourly_panel, run=tmp_path / "never")
    make(**kept, checkpoint_minutes=60).fit(hourly_panel, run=tmp_path / "seldom")
    assert 1 <= len(checkpoints(tmp_path / "often")) < 14  # no more than their share of the time
    assert not (tmp_path / "never" / "checkpoints").exists()
    assert not (tmp_path / "seldom" / "checkpoints").exists()


def test_going_on_leaves_the_random_numbers_of_the_caller_alone(hourly_panel: Panel, cut: Path) -> None:
    torch.manual_seed(17)
    before = torch.get_rng_state()
    Forecaster.resume(cut, hourly_panel)
    assert torch.equal(torch.get_rng_state(), before)
