"""R workspace files (.rda): read their vectors, lists and data frames without R.

Source: "R Internals", section 1.8 (serialization formats), the XDR form of versions 2 and 3.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

OPENERS = {b"\x1f\x8b": gzip.decompress, b"BZ": bz2.decompress, b"\xfd7": lzma.decompress}
NA_INTEGER = -(2**31)
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400
SYMBOL, PAIRLIST, TEXT, LOGICAL, INTEGER, REAL, STRINGS, LIST, NIL, REFERENCE = 1, 2, 9, 10, 13, 14, 16, 19, 254, 255


def read_rdata(path: Path) -> dict[str, Any]:
    """Return the objects of a file by name.

    A data frame or a named list is a dict, another list is a list. Numbers and logicals are float64 arrays with NaN
    for NA, texts are lists of str with None for NA. Attributes other than names are left out.

    Raises:
        InputError: The file is truncated or no R workspace, or it holds objects of other types.
    """
    content = path.read_bytes()
    try:
        content = OPENERS.get(content[:2], bytes)(content)
        if content[:7] not in {b"RDX2\nX\n", b"RDX3\nX\n"}:
            raise InputError(f"expected an R workspace (.rda) in binary form, got another kind of file: {path.name}")
        return _Reader(content[7:]).workspace()
    except (OSError, EOFError, ValueError, lzma.LZMAError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"expected a whole R workspace, {path.name} cannot be read ({error}): fetch it again"
        ) from error


class _Reader:
    """Reader of a serialized object, with a position in its bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.symbols: list[str] = []

    def workspace(self) -> dict[str, Any]:
        """Read the objects of a workspace by name."""
        version = self.integer()
        self.at += 8  # the versions of R that wrote the file and that may read it
        if version == 3:
            self.take(self.integer())  # the name of the native encoding
        objects = self.item()
        if not isinstance(objects, dict):
            raise InputError("expected an R workspace of named objects, got a single object: save it with save()")
        return objects

    def take(self, size: int) -> bytes:
        """Read the next `size` bytes."""
        piece = self.content[self.at : self.at + size]
        if len(piece) < size:
            raise EOFError("it ends too early")
        self.at += size
        return piece

    def integer(self) -> int:
        """Read a whole number."""
        return struct.unpack(">i", self.take(4))[0]

    def item(self) -> Any:
        """Read an object of any type."""
        flags = self.integer()
        kind = flags & 0xFF
        if kind == NIL:
            return None
        if kind == REFERENCE:
            return self.symbols[(flags >> 8) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == PAIRLIST:
            return self.pairs(flags)
        if kind == TEXT:
            size = self.integer()
            return None if size < 0 else self.take(size).decode("utf-8")
        value = self.vector(kind)
        names = (self.item() or {}).get("names") if flags & HAS_ATTRIBUTES else None
        return dict(zip(names, value, strict=True)) if kind == LIST and names else value

    def pairs(self, flags: int) -> dict[str, Any]:
        """Read a pairlist, a chain of (attributes, tag, value, rest)."""
        pairs: dict[str, Any] = {}
        while flags & 0xFF == PAIRLIST:
            if flags & HAS_ATTRIBUTES:
                self.item()
            tag = self.item() if flags & HAS_TAG else str(len(pairs))
            pairs[tag] = self.item()
            flags = self.integer()
        return pairs

    def vector(self, kind: int) -> Any:
        """Read a vector or a list."""
        if kind not in {LOGICAL, INTEGER, REAL, STRINGS, LIST}:
            raise InputError(f"expected vectors, lists and data frames in an R workspace, got R's type {kind}")
        size = self.integer()
        if kind == REAL:
            return np.frombuffer(self.take(8 * size), ">f8").astype(np.float64)
        if kind in {LOGICAL, INTEGER}:
            whole = np.frombuffer(self.take(4 * size), ">i4")
            return np.where(whole == NA_INTEGER, np.nan, whole)
        return [self.item() for _ in range(size)]
