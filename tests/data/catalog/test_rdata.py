"""R workspaces are read to columns by name, or refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from elinformer.data.catalog.rdata import read_rdata
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = {
    "station": ["ATHENRY", None, "Malin Head \N{LATIN SMALL LETTER E WITH ACUTE}"],
    "day": np.array([1, 2, -(2**31)], np.int32),
    "date": np.array([0.0, 3600.0, 7200.0]),
    "rain": np.array([0.1, np.nan, 3.0]),
}


def test_a_data_frame_is_read_by_the_names_of_its_columns(write_rdata: Callable[..., None], tmp_path: Path):
    write_rdata(tmp_path / "two.rda", {"observations": FRAME, "stations": {"station": ["A"], "height": np.array([7])}})
    read = read_rdata(tmp_path / "two.rda")
    assert list(read) == ["observations", "stations"]
    observations = read["observations"]
    assert observations["station"] == FRAME["station"]
    np.testing.assert_array_equal(observations["day"], [1, 2, np.nan])
    np.testing.assert_array_equal(observations["date"], FRAME["date"])
    np.testing.assert_array_equal(observations["rain"], FRAME["rain"])
    np.testing.assert_array_equal(read["stations"]["height"], [7])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_every_compression_that_r_writes_is_read(
    write_rdata: Callable[..., None], tmp_path: Path, compress: Callable[[bytes], bytes]
):
    path = tmp_path / "frame.rda"
    write_rdata(path, {"frame": FRAME})
    path.write_bytes(compress(bz2.decompress(path.read_bytes())))
    assert read_rdata(path)["frame"]["station"] == FRAME["station"]


def test_the_third_version_of_the_format_is_read_too(write_rdata: Callable[..., None], tmp_path: Path):
    path = tmp_path / "frame.rda"
    write_rdata(path, {"frame": FRAME})
    head, body = bytes.fromhex("00000003 00040200 00030500 00000005") + b"UTF-8", bz2.decompress(path.read_bytes())[19:]
    path.write_bytes(b"RDX3\nX\n" + head + body)
    assert read_rdata(path)["frame"]["station"] == FRAME["station"]


@pytest.mark.parametrize("keep", [5, 30, -1])
def test_a_truncated_file_is_refused(write_rdata: Callable[..., None], tmp_path: Path, keep: int):
    path = tmp_path / "cut.rda"
    write_rdata(path, {"frame": FRAME})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut\.rda"):
        read_rdata(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>", "expected an R workspace"),
        (b"RDX2\nX\n" + bytes.fromhex("00000002 00030600 00020300 00000003"), "R's type 3"),
        (b"RDX2\nX\n" + bytes.fromhex("00000002 00030600 00020300 0000000d 00000000"), "named objects"),
    ],
    ids=["a page", "a function", "one object without a name"],
)
def test_other_files_and_objects_are_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "other.rda").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_rdata(tmp_path / "other.rda")
