"""Static covariates from frames and CSV files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from elinformer.data.io.static import read_features, static_features
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_covariates_have_the_order_of_the_series() -> None:
    frame = pd.DataFrame({"unique_id": ["b", "c", "a"], "x": [1, 2, 3], "y": [0.5, 0.25, 0.125]})
    np.testing.assert_array_equal(static_features(frame, ["a", "b"]), [[3, 0.125], [1, 0.5]])


def test_names_in_a_file_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    path.write_text("unique_id,height\n007,12\n7,3\n", encoding="utf-8")
    np.testing.assert_array_equal(static_features(read_features(path), ["7", "007"]), [[3], [12]])
    with pytest.raises(InputError, match="expected a CSV file with unique_id"):
        read_features(tmp_path / "none.csv")
