"""Machines: number of ranks, options of the Trainer, and errors of lost ranks."""

from __future__ import annotations

import pytest
import torch

from elinformer._process import is_first_process
from elinformer.errors import InputError
from elinformer.partition.ranks import Mesh
from elinformer.training.ranks.machines import Machines, explain_lost_rank

LAUNCHER_VARIABLES = (
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
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables that a launcher sets."""
    for name in LAUNCHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def set_environment(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_one_rank_needs_no_strategy() -> None:
    assert Machines().trainer_options() == {"devices": 1}


def test_devices_and_machines_default_to_those_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, TORCHELASTIC_RUN_ID="x", WORLD_SIZE="6", LOCAL_WORLD_SIZE="3", GROUP_WORLD_SIZE="2")
    options = Machines(series_parallel=3).trainer_options()
    assert (options["devices"], options["num_nodes"], options["strategy"].series_parallel) == (3, 2, 3)


def test_numbers_that_contradict_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, TORCHELASTIC_RUN_ID="x", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", GROUP_WORLD_SIZE="1")
    with pytest.raises(InputError, match=r"2 ranks .* 4 x 1"):
        Machines(devices=4).trainer_options()


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"num_nodes": -1}, {"series_parallel": 0}])
def test_numbers_below_one_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        Machines(**wrong)


def test_series_parallel_must_divide_the_number_of_ranks() -> None:
    with pytest.raises(InputError, match=r"divide .* 6, got 4"):
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
def test_the_first_process_is_known_from_the_environment(
    environment: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, **environment)
    assert is_first_process() == first


def test_the_error_of_a_lost_rank_is_explained_and_other_errors_are_not_changed() -> None:
    with pytest.raises(InputError, match="another rank ended"), explain_lost_rank(None):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(RuntimeError, match="sizes differ"), explain_lost_rank(None):
        raise RuntimeError("sizes differ")


@pytest.mark.parametrize(("n", "columns"), [(7, 2), (8, 3), (4, 4), (1_000_003, 64)])
def test_each_series_is_in_one_shard_and_shard_sizes_differ_by_at_most_one(n: int, columns: int) -> None:
    slices = [Mesh(n_columns=columns).series_of(column, n) for column in range(columns)]
    sizes = [shard.stop - shard.start for shard in slices]
    assert torch.cat([torch.arange(n)[shard] for shard in slices]).tolist() == list(range(n))
    assert max(sizes) - min(sizes) <= 1


def test_rows_share_the_windows_even_if_there_are_fewer_windows_than_rows() -> None:
    assert [Mesh(row=row, n_rows=3).own_windows(2) for row in range(3)] == [slice(0, 0), slice(0, 1), slice(1, 2)]
