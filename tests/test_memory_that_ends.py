"""The sentence about memory that ended, whatever says so."""

from __future__ import annotations

import pytest

from elinformer._memory import explained_memory
from elinformer.errors import InputError

ENDED = [
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    OSError(12, "Cannot allocate memory"),
    ImportError("base.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("error", ENDED, ids=lambda error: type(error).__name__)
def test_memory_that_ends_gives_a_sentence_with_the_remedy(error: Exception) -> None:
    with (
        pytest.raises(InputError, match=r"memory for the data.*: read less"),
        explained_memory("the data", "read less"),
    ):
        raise error


def test_a_module_that_is_missing_is_no_lack_of_memory() -> None:
    with pytest.raises(ModuleNotFoundError), explained_memory("the data", "read less"):
        raise ModuleNotFoundError("No module named 'x'")
