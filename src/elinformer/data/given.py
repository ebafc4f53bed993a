"""What people give: panels as they are, data frames as panels."""

from __future__ import annotations

from typing import Any

from elinformer.data.fingerprint import fingerprint
from elinformer.data.frames import panel_from_frame
from elinformer.data.panel import Panel


def as_panel(data: Panel | Any, *, freq: str | None = None, steps_per_day: int | None = None) -> Panel:
    """A panel as it is, or one made of an eager data frame, long or wide."""
    return data if isinstance(data, Panel) else panel_from_frame(data, freq=freq, steps_per_day=steps_per_day)


def described(panel: Panel) -> dict[str, Any]:
    """What a run remembers of its data."""
    return {"name": panel.name, "fingerprint": fingerprint(panel)}
