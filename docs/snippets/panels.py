"""A panel that is made block by block, and mapped from disk."""

import numpy as np

from elinformer import read_panel
from elinformer.data import convert_panel, write_blocks


def days():
    """Make one day after the other, so that they are never in memory together."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        yield rng.normal(50, 10, (96, 200))  # (steps, series), NaN is missing


write_blocks(days(), "roads", shape=(30 * 96, 200), start="2024-01-01", freq="15min")

panel = read_panel("roads")  # mapped: values are read when they are used
print(panel)

np.savez("speeds.npz", data=np.arange(12.0).reshape(6, 2))
convert_panel("speeds.npz", "speeds", null_value=0.0)  # as `elinformer convert speeds.npz speeds --null-value 0`
