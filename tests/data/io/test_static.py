"""Static covariates from frames and CSV files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from elinformer.data.io.static import static_covariates
from elinformer.data.panel import Panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_covariates_have_the_order_of_the_series() -> None:
    frame = pd.DataFrame({"unique_id": ["b", "c", "a"], "x": [1, 2, 3], "kind": ["s", "t", None]})
    found = static_covariates(frame, ["a", "b"])
    assert found.names == ("x", "kind=s")
    np.testing.assert_array_equal(found.values, [[3, 0], [1, 1]])
    assert static_covariates(frame, ["a"], columns=["x"]).names == ("x",)


def test_names_in_a_file_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    path.write_text("unique_id,height\n007,12\n7,3\n", encoding="utf-8")
    np.testing.assert_array_equal(static_covariates(path, ["7", "007"]).values, [[3], [12]])
    with pytest.raises(InputError, match="expected a table of static covariates"):
        static_covariates(tmp_path / "none.csv", ["7"])


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ({"unique_id": ["a"], "x": [1.0]}, ["b", "x"]),
        ({"unique_id": ["a", "b"], "x": [1.0, np.nan]}, ["b", "x"]),
        ({"unique_id": ["a", "b", "b"], "x": [1.0, 2.0, 3.0]}, ["b"]),
        ({"unique_id": ["a", "b"]}, ["unique_id"]),
    ],
)
def test_missing_cells_are_refused_with_column_and_series(rows: dict[str, list[object]], names: list[str]) -> None:
    with pytest.raises(InputError) as error:
        static_covariates(pd.DataFrame(rows), ["a", "b"])
    assert all(f"{name}" in str(error.value) for name in names)


@pytest.mark.parametrize("cells", [[1e39, 1.0], ["9" * 400, "x"], [10**400, 1], [float("inf"), 1.0]], ids=str)
def test_numbers_that_are_too_large_are_refused_or_categories(cells: list[object]) -> None:
    frame = pd.DataFrame({"unique_id": ["a", "b"], "x": cells})
    with pytest.raises(InputError):
        Panel.from_arrays(
            np.ones((4, 2)), series=["a", "b"], static={"x": static_covariates(frame, ["a", "b"]).values[:, 0]}
        )


def test_names_of_columns_may_be_numbers_and_are_distinct() -> None:
    frame = pd.DataFrame([["a", 1.0, 2.0]], columns=["unique_id", 1, 2])
    assert static_covariates(frame, ["a"]).names == ("1", "2")
    with pytest.raises(InputError, match="distinct names"):
        static_covariates(frame.set_axis(["unique_id", 1, 1], axis=1), ["a"])


def test_a_text_among_numbers_is_refused_and_texts_of_digits_alone_are_categories() -> None:
    frame = pd.DataFrame({"unique_id": ["a", "b", "c"], "height": ["12", None, "n.a."], "road": ["01", "02", "01"]})
    with pytest.raises(InputError, match=r"'height'.*'n.a.' for 'c'.*12 for 'a'"):
        static_covariates(frame, ["a", "b", "c"])
    assert static_covariates(frame, ["a", "b"], columns=["road"]).names == ("road=01", "road=02")
