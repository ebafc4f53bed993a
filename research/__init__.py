"""Scripts, logs and results that answer one question of the paper each: see README.md."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
