from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elinformer.errors import InputError
from elinformer.evaluation.losses import QUANTILES
from elinformer.intervals import interpolated, wanted_quantiles

rising = st.lists(st.floats(-1e3, 1e3), min_size=9, max_size=9).map(lambda values: np.array(sorted(values)))


def test_levels_are_named_as_nixtla_names_them_from_the_lowest_quantile_to_the_highest() -> None:
    wanted = wanted_quantiles(level=[80, 99.5])
    assert wanted.suffixes == ("-lo-99.5", "-lo-80", "-hi-80", "-hi-99.5")
    assert wanted.quantiles == pytest.approx((0.0025, 0.1, 0.9, 0.9975))


def test_one_number_is_a_list_of_one() -> None:
    assert wanted_quantiles(level=80) == wanted_quantiles(level=[80])
    assert wanted_quantiles(quantiles=0.1) == wanted_quantiles(quantiles=np.array([0.1]))


@pytest.mark.parametrize(
    "options",
    [
        {"level": [0]},
        {"level": [100]},
        {"level": [80, 80]},
        {"level": []},
        {"level": "80"},
        {"level": [True]},
        {"level": [float("nan")]},
        {"level": ["80"]},
        {"quantiles": [0]},
        {"quantiles": [1]},
        {"quantiles": [0.1, 0.1]},
        {"level": [80], "quantiles": [0.1]},
    ],
)
def test_levels_that_cannot_be_used_are_refused_in_one_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refusal:
        wanted_quantiles(**options)
    assert "\n" not in str(refusal.value)


def test_trained_quantiles_are_returned_as_they_are() -> None:
    outputs = np.random.default_rng(0).normal(size=(4, 9)).cumsum(-1)
    np.testing.assert_allclose(np.stack(interpolated(outputs, QUANTILES, QUANTILES), -1), outputs, rtol=1e-12)


def test_quantiles_of_a_normal_distribution_are_exact_between_and_beyond_the_trained_ones() -> None:
    normal = NormalDist(3, 2)
    outputs, wanted = np.array([normal.inv_cdf(q) for q in QUANTILES]), (0.001, 0.3, 0.6, 0.999)
    assert interpolated(outputs, QUANTILES, wanted) == pytest.approx([normal.inv_cdf(q) for q in wanted])


@given(rising, st.lists(st.floats(0.001, 0.999), min_size=2, max_size=5))
def test_interpolated_quantiles_do_not_cross(outputs: np.ndarray, wanted: list[float]) -> None:
    assert (np.diff(interpolated(outputs, QUANTILES, sorted(wanted))) >= -1e-6).all()
