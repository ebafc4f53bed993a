"""Measurements of the library; each module runs as `python -m benchmarks.NAME`."""
