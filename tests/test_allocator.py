"""Tests of the setting that makes the allocator keep large blocks."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Arrays of NumPy would use huge pages, which the system may or may not have.
FAULTS = """
import resource, sys
from elinformer._allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(2**26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if "keep" in sys.argv:
    keep_freed_memory()
faults()
print(faults())
"""


def page_faults(*arguments: str, **environment: str) -> int:
    """Return the page faults of five blocks of 64 MiB in a new process, after five other blocks."""
    command = [sys.executable, "-c", FAULTS, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than that of GNU")
def test_freed_blocks_are_reused_unless_the_environment_sets_a_threshold() -> None:
    default = page_faults()
    assert default > 10_000, "by default, every block is cleared again"
    assert page_faults("keep") < default / 10
    assert page_faults("keep", MALLOC_MMAP_THRESHOLD_=str(2**20)) > default / 2
