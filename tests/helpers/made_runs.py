"""Results of comparison runs, made without training."""

from __future__ import annotations

from typing import Any

import numpy as np

COUNT = 10.0


def scores(mae: float) -> dict[str, Any]:
    return {"mae": mae, "rmse": 2 * mae, "mape": 10 * mae, "count": 100}


def run(model: str, seed: int, error: float, *, data: str = "metro", channels: int = 1, **changes: Any) -> Any:
    """Return a run with the scaled error `error` on every day, and a MAE ten times as large."""
    names = ["flow", "speed"][:channels]
    blocks = np.full((8, channels), COUNT)
    return {
        "data": data,
        "source": "/somewhere/metro.npz",
        "model": model,
        "name": model,
        "options": {},
        "seed": seed,
        "terms": {"window": 12},
        "settings": {},
        "fingerprint": "sha256:1",
        "test": {
            **scores(10 * error),
            "by_horizon": {str(step): scores(10 * error + step) for step in range(1, 7)},
            "by_channel": {name: scores(10 * error) for name in names},
        },
        "scaled_error": error,
        "validation_mae": 9 * error,
        "validation_scaled_error": 0.9 * error,
        "train_seconds": 60.0 + seed,
        "epochs": 30,
        "best_epoch": 20 + seed,
        "parameters": 12345,
        "seconds_per_1000_forecasts": 0.5,
        "peak_memory_bytes": 600 << 20,
        "import_memory_bytes": 500 << 20,
        "machine": {"processor": "a processor", "cores": 2, "system": "Linux"},
        "versions": {"python": "3.11"},
        "code": "abc",
        "blocks": {
            "kind": "day",
            "labels": [str(day) for day in range(8)],
            "absolute": (10 * error * blocks).tolist(),
            "scaled": (error * blocks).tolist(),
            "count": blocks.tolist(),
        },
        **changes,
    }
