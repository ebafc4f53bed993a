"""ELinFormers of other sizes by name; `elinformer` itself is the base that the results are of."""

from elinformer.models.elinformer import ELinFormer, ELinFormerConfig
from elinformer.models.registry import register_model

PRESETS = {
    "small": {"window_width": 48, "series_width": 16, "slot_width": 16, "day_width": 16, "n_layers": 2},
    "large": {"window_width": 112, "series_width": 64, "slot_width": 48, "day_width": 32, "n_layers": 4},
}
"""A training step of small takes less than half of the time of the base, one of large nearly three times as much."""

for _name, _options in PRESETS.items():
    register_model(f"elinformer-{_name}", ELinFormerConfig, fixed=_options)(ELinFormer)
