"""The JSON file that describes the other files of a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def read_meta(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no such file.

    Raises:
        InputError: The file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"expected JSON in {path.name}, got something else ({error})") from error
    if not isinstance(meta, dict):
        raise InputError(f"expected a JSON object in {path.name}, got a {type(meta).__name__}")
    return meta
