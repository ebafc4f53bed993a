"""Features of the processor, which decide which kernel runs and whether a precision is fast."""

from __future__ import annotations

from functools import cache
from pathlib import Path

INSTRUCTIONS = {
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx2": {"avx2", "fma"},
}
"""Instruction sets of the C kernel, the best first, and the features that they need."""

BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "svebf16"}
"""Features of processors that multiply in bfloat16."""


@cache
def processor_features() -> frozenset[str]:
    """Return the features that the system names; none where it names none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(found.partition(":")[2].split())


def emulates_bfloat16() -> bool:
    """Tell if this processor is known to compute bfloat16 by way of float32, which is slow."""
    features = processor_features()
    return bool(features) and not features & BFLOAT16
