"""Own file: what is in it, before anything is trained."""

from pathlib import Path

from elinformer import read_panel

Path("shops.csv").write_text("""time,north,south
2024-01-01 00:00,12,7
2024-01-01 01:00,14,
2024-01-01 02:00,-1,9
""")

panel = read_panel("shops.csv", null_value=-1)  # -1 stands for a missing value in this file
print(panel)  # steps, series, time between steps, first and last time, observed share
print(panel.values[..., 0])  # (steps, series); NaN is missing
