"""Scaling: moments of observed values, without division by zero."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elinformer.data import pieces
from elinformer.data.panel import Panel
from elinformer.data.scaling import ScalePer, Scaler, error_scale, measure, seasonal_scale

shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)
finite = st.floats(-1e6, 1e6, width=32)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    values, mask = draw(hnp.arrays(np.float32, shape, elements=finite)), draw(hnp.arrays(bool, shape))
    return np.where(mask, values, np.float32(np.nan)), mask


def scaled(values: np.ndarray, scaler: Scaler) -> np.ndarray:
    return (values - scaler.mean) / scaler.std


@given(recordings())
def test_a_series_is_scaled_by_its_own_observed_values(recording: tuple[np.ndarray, np.ndarray]) -> None:
    values, mask = recording
    scaler = Scaler.fit(values, mask)
    for n, c in np.ndindex(values.shape[1:]):
        seen = values[:, n, c][mask[:, n, c]].astype(np.float64)
        if len(seen):
            assert scaler.mean[n, c] == pytest.approx(seen.mean(), rel=1e-5, abs=1e-3)
        if len(seen) and seen.std() > 1e-3 * max(1, abs(seen.mean())):
            assert scaler.std[n, c] == pytest.approx(seen.std(), rel=1e-4)


@given(recordings())
def test_a_channel_has_one_scale_of_all_its_observed_values(recording: tuple[np.ndarray, np.ndarray]) -> None:
    values, mask = recording
    scaler = Scaler.fit(values, mask, per="channel")
    assert scaler.mean.shape == scaler.std.shape == values.shape[1:]
    for c in range(values.shape[2]):
        seen = values[..., c][mask[..., c]].astype(np.float64)
        assert np.unique(scaler.mean[:, c]).size == np.unique(scaler.std[:, c]).size == 1
        if len(seen) and seen.std() > 1e-3 * max(1, abs(seen.mean())):
            np.testing.assert_allclose(scaler.mean[0, c], seen.mean(), rtol=1e-5, atol=1e-3)
            np.testing.assert_allclose(scaler.std[0, c], seen.std(), rtol=1e-4)


@pytest.mark.parametrize("per", ["series", "channel"])
@given(recording=recordings())
def test_scaled_values_are_finite_for_any_mask(per: ScalePer, recording: tuple[np.ndarray, np.ndarray]) -> None:
    values, mask = recording
    scaler = Scaler.fit(values, mask, per=per)
    assert scaler.mean.dtype == scaler.std.dtype == np.float32
    assert np.isfinite(scaler.mean).all()
    assert (scaler.std > 0).all()
    assert np.isfinite(scaled(values, scaler)[mask]).all()
    if per == "channel":
        assert (np.abs(scaled(values, scaler)[mask]) <= 10 * np.sqrt(values.size)).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-8, 7.3e5, -3.3])
@pytest.mark.parametrize("per", ["series", "channel"])
@pytest.mark.parametrize("n_steps", [1, 7, 1001])
def test_a_constant_channel_is_centred_and_divided_by_one(value: float, per: ScalePer, n_steps: int) -> None:
    values = np.full((n_steps, 3, 1), value, np.float32)
    scaler = Scaler.fit(values, np.ones_like(values, bool), per=per)
    np.testing.assert_array_equal(scaler.std, 1)
    np.testing.assert_allclose(scaled(values, scaler), 0, atol=1e-6 * abs(value))


def test_a_constant_series_takes_the_deviation_within_the_others() -> None:
    values = np.random.default_rng(0).normal(5, 2, (200, 3, 1)).astype(np.float32)
    values[:, 1] = 4.2
    scaler = Scaler.fit(values, np.ones_like(values, bool))
    assert scaler.mean[1] == pytest.approx(4.2)
    assert scaler.std[1] == pytest.approx(values[:, [0, 2]].std(0).mean(), rel=1e-2)


@pytest.mark.parametrize(("constant", "std"), [(1e6, 2), (0, 2), (1, 1), (1e-6, 2e-3)])
def test_the_deviation_of_a_constant_does_not_depend_on_how_far_apart_series_lie(constant: float, std: float) -> None:
    values = np.random.default_rng(0).normal([[1e5], [5]], 2, (200, 2, 1)).astype(np.float32)
    values[:, 1] = constant
    assert Scaler.fit(values, np.ones_like(values, bool)).std[1] == pytest.approx(std, rel=0.1)


def test_large_levels_are_scaled_in_float64() -> None:
    panel = Panel.from_arrays(1e9 + 5 * np.sin(np.arange(200)[:, None]))
    scaler = Scaler.of(measure(panel.values, panel.mask), dtype=panel.values.dtype)
    assert scaler.std[0, 0] == pytest.approx(5 / 2**0.5, rel=0.01)
    assert scaler.mean[0, 0] == pytest.approx(panel.values.mean(), abs=1e-6)


def test_a_never_observed_series_takes_mean_and_deviation_of_its_channel() -> None:
    values = np.random.default_rng(0).normal(5, 2, (200, 3, 1)).astype(np.float32)
    values[:, 1] = np.nan
    scaler = Scaler.fit(values, ~np.isnan(values))
    assert scaler.mean[1] == pytest.approx(np.nanmean(values), rel=1e-5)
    assert scaler.std[1] == pytest.approx(np.nanstd(values), rel=1e-4)


def test_a_never_observed_channel_is_not_scaled() -> None:
    values = np.full((5, 2, 2), np.nan, np.float32)
    values[..., 0] = 3
    scaler = Scaler.fit(values, ~np.isnan(values))
    np.testing.assert_array_equal(scaler.mean[:, 1], 0)
    np.testing.assert_array_equal(scaler.std[:, 1], 1)


@pytest.mark.parametrize("rows", [1, 3, 64, 200])
def test_blocks_merge_to_the_moments_of_one_pass(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(130, 4, 2)) * [1, 1e3] + [1e4, 0]).astype(np.float32)
    mask = rng.random(values.shape) < 0.7
    mask[:50, 0] = False
    whole = Scaler.fit(values, mask)
    monkeypatch.setattr(pieces, "VALUES_AT_A_TIME", rows * values[0].size)
    merged = Scaler.fit(values, mask)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(merged.std, whole.std, rtol=1e-6)


def test_a_large_offset_does_not_cancel_the_deviation() -> None:
    values = (1e6 + np.random.default_rng(2).integers(0, 3, (500, 1, 1))).astype(np.float32)
    scaler = Scaler.fit(values, np.ones_like(values, bool), per="channel")
    assert scaler.std[0, 0] == pytest.approx(values.astype(np.float64).std(), rel=1e-5)


def test_the_seasonal_scale_is_the_training_error_of_seasonal_naive() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 3, 2)).astype(np.float32)
    mask = rng.random(values.shape) < 0.8
    values[~mask] = np.nan
    expected = np.nanmean(np.abs(values[7:] - values[:-7]), axis=0)
    np.testing.assert_allclose(seasonal_scale(values, mask, 7), expected, rtol=1e-5)


def test_the_seasonal_scale_is_merged_from_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(40, 2, 1)).astype(np.float32)
    mask = np.ones_like(values, dtype=bool)
    whole = seasonal_scale(values, mask, 5)
    monkeypatch.setattr(pieces, "VALUES_AT_A_TIME", 6)
    np.testing.assert_allclose(seasonal_scale(values, mask, 5), whole, rtol=1e-6)


@pytest.mark.parametrize("kind", ["channel", "series", "seasonal"])
def test_given_moments_do_not_change_a_scale(
    two_channel_panel: Panel, kind: Literal["channel", "series", "seasonal"]
) -> None:
    moments = measure(two_channel_panel.values[:200], two_channel_panel.mask[:200])
    known, anew = (error_scale(two_channel_panel, 200, kind, moments=given) for given in (moments, None))
    np.testing.assert_array_equal(known, anew)


def test_a_series_without_a_season_is_scaled_by_its_deviation() -> None:
    values = np.array([[1.0, 2.0, 1.0], [3.0, 4.0, 1.0], [1.0, 2.0, 2.0], [3.0, np.nan, 1.0]], np.float32)[..., None]
    mask = ~np.isnan(values)
    scale = seasonal_scale(values, mask, 2)[:, 0]
    np.testing.assert_allclose(scale[:2], Scaler.fit(values, mask).std[:2, 0])  # the same again after two steps
    assert scale[2] == 0.5
    np.testing.assert_array_equal(seasonal_scale(values, mask, 9), Scaler.fit(values, mask).std)
