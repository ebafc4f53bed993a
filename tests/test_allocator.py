"""The allocator keeps large blocks where a program asks for it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# NumPy's arrays would ask for huge pages, of which there may be some or none.
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
    """Of five blocks of 64 MiB, in a process of their own after as many others."""
    command = [sys.executable, "-c", FAULTS, *arguments]
    found = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than that of GNU")
def test_blocks_that_were_freed_are_used_again_unless_the_environment_says_otherwise() -> None:
    given_back = page_faults()
    assert given_back > 10_000, "without it, every block is cleared anew"
    assert page_faults("keep") < given_back / 10
    assert page_faults("keep", MALLOC_MMAP_THRESHOLD_=str(2**20)) > given_back / 2
