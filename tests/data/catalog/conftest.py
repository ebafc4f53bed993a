"""Writers of small files in the formats of published data sets."""

from __future__ import annotations

import bz2
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MATLAB_CLASS = {"f8": 6, "f4": 7, "i1": 8, "u1": 9, "i2": 10, "u2": 11, "i4": 12, "u4": 13, "i8": 14, "u8": 15}
MATLAB_NUMBER = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9, "i8": 12, "u8": 13}


@pytest.fixture
def write_matlab() -> Callable[..., None]:
    """Write arrays as MATLAB's save -v6 (or -v7, which compresses each array) does."""

    def write(path: Path, arrays: dict[str, np.ndarray], *, compress: bool = False) -> None:
        content = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
        for name, array in arrays.items():
            matrix = _matrix(name, array)
            packed = zlib.compress(matrix)
            content += struct.pack("<II", 15, len(packed)) + packed if compress else matrix
        path.write_bytes(content)

    return write


def _element(kind: int, body: bytes) -> bytes:
    if 0 < len(body) <= 4:
        return struct.pack("<HH", kind, len(body)) + body.ljust(4, b"\0")
    return struct.pack("<II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def _matrix(name: str, array: np.ndarray) -> bytes:
    code = array.dtype.str[1:]
    body = _element(6, struct.pack("<II", MATLAB_CLASS[code], 0))
    body += _element(5, struct.pack(f"<{array.ndim}i", *array.shape))
    body += _element(1, name.encode())
    body += _element(MATLAB_NUMBER[code], array.tobytes(order="F"))
    return struct.pack("<II", 14, len(body)) + body


@pytest.fixture
def write_rdata() -> Callable[..., None]:
    """Write data frames as R's save(version = 2, compress = "bzip2") does, with a class and row names."""

    def write(path: Path, frames: dict[str, dict[str, Any]]) -> None:
        body = b"RDX2\nX\n" + struct.pack(">iii", 2, 0x30600, 0x20300)
        symbols: list[str] = []
        for name, frame in frames.items():
            body += struct.pack(">i", 0x402) + _symbol(name, symbols) + _data_frame(frame, symbols)
        path.write_bytes(bz2.compress(body + struct.pack(">i", 254)))

    return write


def _text(text: str | None) -> bytes:
    if text is None:
        return struct.pack(">ii", 9, -1)
    return struct.pack(">ii", 0x40009, len(text.encode())) + text.encode()


def _symbol(name: str, symbols: list[str]) -> bytes:
    if name in symbols:
        return struct.pack(">i", symbols.index(name) + 1 << 8 | 255)
    symbols.append(name)
    return struct.pack(">i", 1) + _text(name)


def _vector(values: Any, flags: int = 0) -> bytes:
    array = np.asarray(values)
    if array.dtype.kind == "i":
        return struct.pack(">ii", 13 | flags, array.size) + array.astype(">i4").tobytes()
    if array.dtype.kind == "f":
        return struct.pack(">ii", 14 | flags, array.size) + array.astype(">f8").tobytes()
    return struct.pack(">ii", 16 | flags, array.size) + b"".join(_text(text) for text in values)


def _data_frame(frame: dict[str, Any], symbols: list[str]) -> bytes:
    body = struct.pack(">ii", 0x313, len(frame))
    for name, values in frame.items():
        is_time = name == "date"
        body += _vector(values, 0x300 if is_time else 0)
        if is_time:
            body += struct.pack(">i", 0x402) + _symbol("class", symbols) + _vector(["POSIXct", "POSIXt"])
            body += struct.pack(">i", 0x402) + _symbol("tzone", symbols) + _vector(["UTC"]) + struct.pack(">i", 254)
    n_rows = len(next(iter(frame.values())))
    for name, values in (
        ("names", list(frame)),
        ("class", ["tbl_df", "tbl", "data.frame"]),
        ("row.names", np.array([-(2**31), -n_rows])),
    ):
        body += struct.pack(">i", 0x402) + _symbol(name, symbols) + _vector(values)
    return body + struct.pack(">i", 254)
