"""SHA-256 of files and of JSON documents, by which damage is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes as "sha256:..."."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as "sha256:..."; a file larger than memory is read in blocks."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def document_digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document, whatever its layout and the order of its keys."""
    return digest(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
