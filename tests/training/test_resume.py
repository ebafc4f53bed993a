"""Going on where training was ended: the weights are those of a training that never was."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from power_cuts import AtStep, PowerCutError, assert_same, checkpoints, power_cut
from rich.console import Console
from torch import Tensor

import elinformer.run_folder.checkpoints
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training.callbacks.clock import Clock

OPTIONS: dict[str, dict[str, Any]] = {
    "one cycle": {"epochs": 3},
    "micro-batches": {"epochs": 2, "batch_size": 40, "tokens_at_once": 60},
    "series in parts": {"epochs": 3, "series_at_once": 3},
    "patience": {"epochs": 6, "patience": 2, "learning_rate": 0.5},
}


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
    assert config["training"]["checkpoint_minutes"] == 0
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


def test_the_time_of_training_adds_up(hourly_panel: Panel, cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "state_dict", lambda _: {"seconds": 1000.0})  # what the next checkpoint says
    first = Forecaster.resume(cut, hourly_panel).fit_result.seconds
    again = Forecaster.resume(cut, hourly_panel).fit_result.seconds
    assert first < 1000 < again


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


def test_other_data_are_refused(two_channel_panel: Panel, hourly_panel: Panel, cut: Path) -> None:
    with pytest.raises(InputError, match=r"expected the data that .*run was begun with, but those of hourly differ"):
        Forecaster.resume(cut, two_channel_panel)
    values = hourly_panel.values.copy()
    values[0, 0] += 1
    changed = Panel.from_arrays(values, start="2024-01-01", freq="1h", series=list("abcd"), channels=["flow"])
    with pytest.raises(InputError, match="put the old ones back, or train again with --overwrite"):
        Forecaster.resume(cut, changed)


def test_checkpoints_come_when_it_is_time(
    make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elinformer.run_folder.checkpoints, "KEPT", 100)
    make(checkpoint_minutes=1e-9).fit(hourly_panel, run=tmp_path / "often")
    make(checkpoint_minutes=0).fit(hourly_panel, run=tmp_path / "always")
    make(checkpoint_minutes=60).fit(hourly_panel, run=tmp_path / "seldom")
    assert 1 <= len(checkpoints(tmp_path / "often")) < 14  # no more than their share of the time
    assert len(checkpoints(tmp_path / "always")) == 14
    assert not (tmp_path / "seldom" / "checkpoints").exists()


def test_going_on_leaves_the_random_numbers_of_the_caller_alone(hourly_panel: Panel, cut: Path) -> None:
    torch.manual_seed(17)
    before = torch.get_rng_state()
    Forecaster.resume(cut, hourly_panel)
    assert torch.equal(torch.get_rng_state(), before)
