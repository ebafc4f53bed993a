"""Check an installed wheel: it forecasts, and has the C kernel where it is asked for.

python tools/check_wheel.py [--kernel]
"""

from __future__ import annotations

import sys

import torch

from elinformer import eala_attention, load_dataset
from elinformer.ops.eala import cpu


def main() -> None:
    """Exit with a message if something is missing."""
    queries = torch.randn(2, 500, 16)
    if not eala_attention(queries, queries, queries).isfinite().all():
        sys.exit("expected a finite output of the attention")
    if not load_dataset("nyc-airports").mask.any():
        sys.exit("expected the embedded data set")
    reason = cpu.why_not(queries)
    print("C kernel:", reason or "loaded")
    if reason and "--kernel" in sys.argv:
        sys.exit("expected the C kernel in this wheel")


if __name__ == "__main__":
    main()
