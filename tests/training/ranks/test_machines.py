"""Where training runs, as it is asked for."""

from __future__ import annotations

import pytest
import torch

from elinformer._process import is_first_process
from elinformer.errors import InputError
from elinformer.partition.ranks import Mesh
from elinformer.training.ranks.machines import Machines, lost_ranks_named

TORCHRUN = (
    "SLURM_PROCID",
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "TORCHELASTIC_RUN_ID",
)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no launcher had started the tests."""
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)


def started(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_one_rank_needs_no_strategy() -> None:
    assert Machines().trainer_options() == {"devices": 1}


def test_devices_and_machines_are_those_that_torchrun_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, TORCHELASTIC_RUN_ID="x", WORLD_SIZE="6", LOCAL_WORLD_SIZE="3", GROUP_WORLD_SIZE="2")
    options = Machines(series_parallel=3).trainer_options()
    assert (options["devices"], options["num_nodes"], options["strategy"].series_parallel) == (3, 2, 3)


def test_other_numbers_than_torchrun_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, TORCHELASTIC_RUN_ID="x", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", GROUP_WORLD_SIZE="1")
    with pytest.raises(InputError, match="the 2 ranks that torchrun started, got 4 x 1"):
        Machines(devices=4).trainer_options()


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"num_nodes": -1}, {"series_parallel": 0}])
def test_numbers_below_one_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        Machines(**wrong)


def test_series_parallel_divides_the_number_of_ranks() -> None:
    with pytest.raises(InputError, match="divide the number of ranks, 6, got 4"):
        Machines(devices=3, num_nodes=2, series_parallel=4)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
    ],
)
def test_the_first_process_is_known_before_ranks_meet(
    environment: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, **environment)
    assert is_first_process() == first


def test_a_lost_rank_is_named_and_other_errors_are_left_alone() -> None:
    with pytest.raises(InputError, match="another one ended"), lost_ranks_named(None):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(RuntimeError, match="sizes differ"), lost_ranks_named(None):
        raise RuntimeError("sizes differ")


@pytest.mark.parametrize(("n", "columns"), [(7, 2), (8, 3), (4, 4), (1_000_003, 64)])
def test_every_series_is_held_once_in_a_row_and_shares_differ_by_one(n: int, columns: int) -> None:
    slices = [Mesh(n_columns=columns).series_of(column, n) for column in range(columns)]
    sizes = [part.stop - part.start for part in slices]
    assert torch.cat([torch.arange(n)[part] for part in slices]).tolist() == list(range(n))
    assert max(sizes) - min(sizes) <= 1


def test_windows_are_shared_among_rows_and_may_be_fewer() -> None:
    assert [Mesh(row=row, n_rows=3).own_windows(2) for row in range(3)] == [slice(0, 0), slice(0, 1), slice(1, 2)]
