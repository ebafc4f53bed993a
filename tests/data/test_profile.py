"""Profiles of series and their principal components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.data.profile import history_profile, principal_components
from elinformer.data.scaling import Scaler


def profile_of(panel: Panel) -> np.ndarray:
    return history_profile(panel, Scaler.fit(panel.values, panel.mask))


def waves(phases: list[float]) -> Panel:
    hours = 2 * np.pi * np.arange(14 * 24)[:, None] / 24
    return Panel.from_arrays(5 + np.sin(hours + np.array(phases)), start="2024-01-01", freq="1h")


def test_similar_series_have_similar_profiles() -> None:
    profile = profile_of(waves([0.0, 0.0, 2.0]))
    np.testing.assert_array_equal(profile[0], profile[1])
    assert np.abs(profile[0] - profile[2]).max() > 1


def test_the_unit_of_a_series_changes_only_its_deviation() -> None:
    panel = waves([0.0, 1.0])
    larger = replace(panel, values=panel.values * 64)
    different = np.flatnonzero(~np.isclose(profile_of(panel), profile_of(larger), atol=1e-4).all(0))
    assert len(different) == 1
    np.testing.assert_allclose((profile_of(larger) - profile_of(panel))[:, different], np.log(64), rtol=1e-4)


def test_missing_values_may_hold_anything() -> None:
    panel = waves([0.0, 1.0])
    mask = np.random.default_rng(0).random(panel.mask.shape) < 0.8
    scaler = Scaler.fit(panel.values, mask)
    poisoned = replace(panel, values=np.where(mask, panel.values, np.nan).astype(np.float32), mask=mask)
    zeroed = replace(panel, values=np.where(mask, panel.values, 0).astype(np.float32), mask=mask)
    assert np.isfinite(history_profile(poisoned, scaler)).all()
    np.testing.assert_array_equal(history_profile(poisoned, scaler), history_profile(zeroed, scaler))


@pytest.mark.parametrize("n_steps", [1, 2, 5, 30])
def test_short_histories_and_steps_without_times_have_profiles(n_steps: int) -> None:
    panel = Panel.from_arrays(np.random.default_rng(0).normal(size=(n_steps, 3)))
    assert np.isfinite(profile_of(panel)).all()


def test_components_are_few_and_of_unit_variance_for_all_units() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 50)), rng.normal(size=(30, 2))
    found = principal_components(first, second)
    assert found.shape == (30, 20)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-4)
    again = principal_components(first * 100, second / 7)
    np.testing.assert_allclose(np.abs(again), np.abs(found), atol=1e-3)


def test_identical_series_have_one_component() -> None:
    assert principal_components(np.ones((4, 3))).shape == (4, 1)
    assert np.isfinite(principal_components(np.ones((4, 3)))).all()
