"""Tests of training on ranks against one process: losses, gradients and weights after twenty steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from scripts import load_script
from torch.testing import assert_close

from elinformer.ops.eala.partitioned import numbers_exchanged

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.slow

WORKER = Path(__file__).parent / "steps.py"
SERIES, WINDOWS = 7, 5  # neither is a multiple of the number of ranks

MESHES = [(1, 1), (2, 2), (2, 1), (4, 4), (4, 2)]
"""Number of ranks, and of those that share the series of a window."""


@pytest.fixture(scope="module")
def steps() -> ModuleType:
    return load_script(WORKER)


def settings(dtype: str, series_parallel: int = 1, **other: Any) -> dict[str, Any]:
    return {"dtype": dtype, "series": SERIES, "windows": WINDOWS, "series_parallel": series_parallel, **other}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], dict[str, Any]]:
    """Train on all meshes, and return the results by run."""
    folder, jobs = tmp_path_factory.mktemp("ranks"), {}
    for world, series_parallel in MESHES:
        runs = {dtype: settings(dtype, series_parallel) for dtype in ("float64", "float32")}
        runs["many"] = settings("float32", series_parallel, series=70, steps=2)
        runs["flat"] = settings("float64", series_parallel, sharpness=0.4)
        jobs[world, series_parallel] = {"world": world, "runs": runs, "out": str(folder / f"{world}-{series_parallel}")}
    (folder / "jobs.json").write_text(json.dumps(list(jobs.values())), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(WORKER), str(folder / "jobs.json")], env=environment, timeout=300, check=True)
    return {mesh: torch.load(job["out"], weights_only=True) for mesh, job in jobs.items()}


@pytest.fixture(params=MESHES, ids=lambda mesh: f"{mesh[0]}-ranks-{mesh[1]}-for-series")
def mesh(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture
def trained(mesh: tuple[int, int], results: dict[tuple[int, int], dict[str, Any]]) -> dict[str, Any]:
    return results[mesh]


@pytest.mark.parametrize(("run", "options"), [("float64", {}), ("flat", {"sharpness": 0.4})])
def test_losses_gradients_and_weights_in_float64_equal_those_of_one_process(
    trained: dict[str, Any], steps: ModuleType, run: str, options: dict[str, Any]
) -> None:
    alone = steps.train_alone(settings("float64", **options))
    assert_close(trained[run]["losses"], alone["losses"], rtol=0, atol=1e-10)
    for kind in ("gradients", "weights"):
        assert trained[run][kind].keys() == alone[kind].keys()
        for name, x in alone[kind].items():
            assert_close(trained[run][kind][name], x, rtol=0, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")


def test_losses_in_float32_agree_to_1e_5(trained: dict[str, Any], steps: ModuleType) -> None:
    alone = steps.train_alone(settings("float32"))
    assert_close(trained["float32"]["losses"], alone["losses"], rtol=0, atol=1e-5)


def test_gradients_exceed_the_clip_norm_so_that_clipping_is_tested(trained: dict[str, Any], steps: ModuleType) -> None:
    assert min(trained["float64"]["norms"]) > steps.CLIP


def test_scores_over_ranks_equal_those_of_one_process(trained: dict[str, Any], steps: ModuleType) -> None:
    for name, alone in steps.score(None).items():
        exact = name.startswith("count")
        assert_close(trained["scores"][name], alone, rtol=0 if exact else 1e-12, atol=0)


def test_bytes_per_layer_and_step_follow_the_formula_for_any_number_of_series(
    trained: dict[str, Any], mesh: tuple[int, int]
) -> None:
    world, series_parallel = mesh
    few, many = trained["float32"]["traffic"], trained["many"]["traffic"]
    assert few == many
    assert len(few) == (2 if series_parallel > 1 else 0)
    windows = WINDOWS // (world // series_parallel)
    for messages, size in few.values():
        assert messages == 4
        assert size == windows * 2 * sum(numbers_exchanged(8, 8)) * 4  # two heads of 8, float32
