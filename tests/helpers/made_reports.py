"""Contents of `report.json`, made without training."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS, WINDOW = 240, 12


def made_report(n_series: int = 12, *, located: bool = True, name: str = "run") -> dict[str, Any]:
    """Return the report of a made-up run. A name of a series has markup in it."""
    rng = np.random.default_rng(0)
    names = [f"north/{i}" if i else "north/<script>alert(1)</script>" for i in range(n_series)]
    times = np.datetime_as_string(np.datetime64("2024-01-01T00", "s") + np.arange(STEPS) * np.timedelta64(3600, "s"))
    rows = [
        {"series": one, "channel": "value", "mae": 1 + i / 7, "naive_mae": 2.0, "skill": 0.5 - i / 14, "targets": 900}
        for i, one in enumerate(names)
    ][:1000]
    pictured = [{"kind": "worst" if i < 6 else "best" if i < 12 else "other", **row} for i, row in enumerate(rows[:30])]
    for one in pictured:
        observed = np.sin(np.arange(STEPS) / 4) + rng.normal(0, 0.1, STEPS)
        one["observed"] = [None, *np.round(observed[1:], 4).tolist()]
        one["forecast"] = np.round(observed + 0.1, 4).tolist()
        one["low"], one["high"] = np.round(observed - 0.2, 4).tolist(), np.round(observed + 0.4, 4).tolist()
    scores = {"mae": 1.5, "rmse": 2.0, "mape": 12.0, "count": 10_000}
    skill = {"skill": 0.25, "skill_low": 0.2, "skill_high": 0.3, "worse_than_naive": 0.02}
    part = {"series": 6, "mae": 1.5, "naive_mae": 2.0, **skill}
    places = [
        {"series": one, "latitude": 53 + i / 50, "longitude": -8 + (i % 7) / 9, "received": 0.1}
        for i, one in enumerate(names)
    ]
    return {
        "format": "elinformer-report",
        "schema": 1,
        "run": name,
        "created": "2026-01-02T03:04:05+00:00",
        "version": "0.1.0",
        "data": {
            "name": "made up",
            "steps": 2000,
            "series": n_series,
            "channels": ["value"],
            "freq": "1h",
            "observed_share": 0.97,
            "parts": {
                part: {"first": "2024-01-01T00:00:00", "last": "2024-01-02T00:00:00", "steps": 25}
                for part in ("train", "validation", "test")
            },
        },
        "task": {"window": WINDOW, "horizon": 12, "lags": [168], "windows": 100, "of_windows": 900},
        "quality": {
            "best_naive": "same time yesterday",
            **skill,
            "forecasts": [
                {"name": one, **scores, "skill": 0.25 - i / 4}
                for i, one in enumerate(("elinformer", "same time yesterday", "last value"))
            ],
            "by_horizon": {
                one: [1.0 + i / 9 for i in range(12)] for one in ("elinformer", "same time yesterday", "last value")
            },
            "by_group": [{"name": one, **part} for one in ("north", "south")],
            "by_channel": [],
            "days": 8,
            "block": "day",
        },
        "intervals": {
            "levels": [
                {"level": float(level), "coverage": level / 100 - 0.01, "width": level / 20, "series_near": 0.9}
                for level in (50, 80, 95)
            ],
            "shown_level": 80.0,
            "by_step": [0.8 - i / 200 for i in range(12)],
            "meaning": "The intervals are about right: 79.0 % of the values lie in their 80 % interval.",
        },
        "anomalies": {
            "level": 95.0,
            "outside": 0.06,
            "meaning": "6.0 % of the values lie outside.",
            "rows": [
                {"time": "2024-01-01T05:00:00", "observed": 9.0, "low": 1.0, "high": 2.0, "widths": 7.0}
                | {"series": one, "channel": "value"}
                for one in names[:3]
            ],
        },
        "series": {"of": n_series, "rows": rows},
        "pictures": {"level": 80.0, "times": times.tolist(), "origins": list(range(0, STEPS, 12)), "series": pictured},
        "by_time": {
            "rows": ["Monday", "Sunday"],
            "columns": [f"{hour:02d}" for hour in range(24)],
            "relative": [[0.5 + hour / 20 for hour in range(24)], [None] * 24],
        },
        "influence": {
            "windows": 8,
            "sources": min(n_series, 50),
            "series": n_series,
            "own": 0.5,
            "others": 0.02,
            "pairs": [{"from": names[i], "to": names[i + 1], "change": 0.3 / (i + 1)} for i in range(10)],
            "given": [{"series": one, "change": 0.2} for one in names[:10]],
            "places": places if located else None,
        },
        "attention": {
            "layers": [[0.9, 0.99], [0.7, 1.0]],
            "mean": 0.9,
            "keys": float(n_series),
            "effective": 10.0,
            "meaning": "Attention is broad.",
        },
        "training": {
            "model": {"name": "elinformer", "attention": "eala", "n_layers": 2},
            "options": {"epochs": 3, "batch_size": 16},
            "parameters": 12_345,
            "versions": {"elinformer": "0.1.0", "torch": "2.13.0"},
            "history": [
                {"epoch": i, "loss": 1 / i, "validation_loss": 1.1 / i, "validation_mae": 2.0, "seconds": 9.0 * i}
                for i in (1, 2, 3)
            ],
            "train_seconds": 27.0,
            "epochs": 3,
            "best_epoch": 3,
            "peak_memory_bytes": 600_000_000,
        },
    }
