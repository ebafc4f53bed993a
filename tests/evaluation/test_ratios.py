"""Tests of the errors of one forecast beside those of another."""

from __future__ import annotations

import numpy as np
import pytest

from elinformer.evaluation import best_of, ratio_to


def test_the_ratio_is_the_geometric_mean_over_series_whatever_their_units() -> None:
    errors, others = np.array([[1.0], [2e6]]), np.array([[2.0], [1e6]])
    assert ratio_to(errors, others).mean == pytest.approx(1)
    units = np.array([[7.0], [1e-9]])
    assert ratio_to(errors * units, others * units) == ratio_to(errors, others)


def test_a_series_is_behind_if_its_error_is_larger_and_clearly_if_by_more_than_two_percent() -> None:
    ratio = ratio_to(np.array([1.0, 1.01, 1.03, 0.5, np.nan]), np.array([1.0, 1.0, 1.0, 1.0, 1.0]))
    assert (ratio.behind, ratio.clearly_behind, ratio.n_series) == (0.5, 0.25, 4)


def test_a_series_that_is_forecast_without_error_does_not_decide_the_mean() -> None:
    ratio = ratio_to(np.array([0.0, 0.5, 0.1]), np.array([0.0, 1.0, 0.0]))
    assert ratio.mean == 0.5
    assert ratio.behind == pytest.approx(1 / 3)  # the third, and not the first, where both are right


def test_nothing_observed_gives_no_ratio() -> None:
    ratio = ratio_to(np.array([np.nan]), np.array([1.0]))
    assert np.isnan(ratio.mean)
    assert ratio.n_series == 0


def test_the_best_forecast_has_the_lowest_geometric_mean() -> None:
    loud, quiet = np.array([[1e6], [2.0]]), np.array([[2e6], [0.5]])
    assert best_of({"loud": loud, "quiet": quiet}) == "quiet"
    assert best_of({"a": np.zeros(2), "b": np.zeros(2)}) == "a"
    assert best_of({"a": np.array([3.0, np.nan]), "b": np.array([2.0, np.nan])}) == "b"
