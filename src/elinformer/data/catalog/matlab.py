"""MATLAB 5 files (.mat): read their numeric arrays without MATLAB.

Source: "MAT-File Format", The MathWorks, chapter 1 (level 5).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, COMPRESSED = 14, 15
NUMERIC_CLASSES = range(6, 16)  # double, single and the integers
CLASS, IS_COMPLEX = 0xFF, 0x800


def read_matlab(path: Path) -> dict[str, np.ndarray]:
    """Return the numeric arrays of a file by name. Other objects are left out.

    Raises:
        InputError: The file is truncated or no MATLAB 5 file.
    """
    content = path.read_bytes()
    if len(content) < 128 or content[124:128] != b"\x00\x01IM":
        raise InputError(
            f"expected a MATLAB 5 file (.mat), little-endian, got another kind of file: {path.name}; "
            "save it with save -v7"
        )
    try:
        return dict(array for kind, body in _elements(content[128:]) for array in _arrays(kind, body))
    except (ValueError, KeyError, struct.error, zlib.error) as error:
        raise InputError(
            f"expected a whole MATLAB file, {path.name} cannot be read ({error}): fetch it again"
        ) from error


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of every element. Elements start at multiples of 8 bytes, except compressed ones."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        start = at + 8
        if kind >> 16:  # a small element: the upper half is its size, and its bytes replace the size
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if start + size > len(content):
            raise ValueError("it ends too early")
        yield kind, content[start : start + size]
        at = start + size if kind == COMPRESSED else -(-(start + size) // 8) * 8


def _arrays(kind: int, body: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and values of every numeric array in an element."""
    if kind == COMPRESSED:
        for inner in _elements(zlib.decompress(body)):
            yield from _arrays(*inner)
    if kind != MATRIX:
        return
    parts = _elements(body)
    flags = int.from_bytes(next(parts)[1][:4], "little")
    if flags & CLASS not in NUMERIC_CLASSES or flags & IS_COMPLEX:
        return
    shape = np.frombuffer(next(parts)[1], "<i4")
    name = next(parts)[1].decode("latin-1")
    stored, numbers = next(parts)
    # Numbers may be stored narrower than the array's class; the values are the same.
    yield name, np.frombuffer(numbers, "<" + NUMBERS[stored]).reshape(shape, order="F")
