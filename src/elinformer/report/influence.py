"""Section of the report on influences between series: see `elinformer.explanations.influences`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.explanations import influences, n_windows
from elinformer.report.window_errors import sample

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.trained_model import TrainedModel

Document = dict[str, Any]

N_PAIRS = 20


def influence(trained: TrainedModel, panel: Panel, origins: np.ndarray) -> Document | None:
    """Return the strongest influences between series; None if there is a single series, or no influence at all.

    The influence of series A on series B is the mean absolute change of the forecasts of B, in standard deviations of
    B, when A has no observation in the window. It says what the model uses, which need not be a cause.

    Args:
        trained: The model.
        panel: The data, with the series of the model in their order.
        origins: (n,), the first target steps of the windows to choose from.
    """
    chosen = sample(origins, n_windows(panel.n_series))
    if panel.n_series < 2:
        return None
    sources, effect = influences(trained, panel, chosen)  # (M,) and (M, N)
    own = effect[np.arange(len(sources)), sources].copy()
    effect[np.arange(len(sources)), sources] = 0
    if not effect.max() > 0:
        return None
    strongest = np.argsort(effect, axis=None)[::-1][:N_PAIRS]
    pairs = [divmod(int(place), panel.n_series) for place in strongest]
    given, received = effect.sum(1) / (panel.n_series - 1), effect.mean(0)
    return {
        "windows": len(chosen),
        "sources": len(sources),
        "series": panel.n_series,
        "own": float(own.mean()),
        "others": float(effect.sum() / (len(sources) * (panel.n_series - 1))),
        "pairs": [
            {"from": panel.series[sources[source]], "to": panel.series[to], "change": float(effect[source, to])}
            for source, to in pairs
            if effect[source, to] > 0
        ],
        "given": [
            {"series": panel.series[sources[source]], "change": float(given[source])}
            for source in np.argsort(given)[::-1][:N_PAIRS]
        ],
        "places": _places(panel, received),
    }


def _places(panel: Panel, received: np.ndarray) -> list[Document] | None:
    if panel.locations is None:
        return None
    rows = zip(panel.series, panel.locations.tolist(), received.tolist(), strict=True)
    return [
        {"series": name, "latitude": latitude, "longitude": longitude, "received": value}
        for name, (latitude, longitude), value in rows
    ]
