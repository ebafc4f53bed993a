"""MATLAB files are read to the arrays that were saved, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as arrays

from elinformer.data.catalog.matlab import read_matlab
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = [arrays.integer_dtypes(endianness="<"), arrays.unsigned_integer_dtypes(endianness="<")]


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    array=arrays.arrays(
        dtype=NUMBERS[0] | NUMBERS[1] | arrays.floating_dtypes(endianness="<", sizes=(32, 64)),
        shape=arrays.array_shapes(min_dims=2, max_dims=3, max_side=4),
    )
)
def test_an_array_is_read_as_it_was_saved(
    array: np.ndarray, compress: bool, write_matlab: Callable[..., None], tmp_path: Path
):
    write_matlab(tmp_path / "a.mat", {"x": array, "a name longer than eight": array}, compress=compress)
    read = read_matlab(tmp_path / "a.mat")
    assert set(read) == {"x", "a name longer than eight"}
    for found in read.values():
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_a_truncated_file_is_refused(write_matlab: Callable[..., None], tmp_path: Path, compress: bool):
    path = tmp_path / "cut.mat"
    write_matlab(path, {"x": np.arange(100.0).reshape(10, 10)}, compress=compress)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"expected a whole MATLAB file, cut\.mat cannot be read"):
        read_matlab(path)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 20])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "page.mat").write_bytes(content)
    with pytest.raises(InputError, match="expected a MATLAB 5 file"):
        read_matlab(tmp_path / "page.mat")
