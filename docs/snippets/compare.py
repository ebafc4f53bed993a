"""docs/compare.md: the same from Python."""

from elinformer import compare, simulate_freeway

panel = simulate_freeway(n_series=20, n_steps=600)  # or a file, or a name of the catalogue

results = compare(
    panel,
    {"small": {"name": "elinformer", "n_layers": 1, "window_width": 16}, "last_value": {}},
    out="comparison",
    seeds=1,
    settings={"horizon": 6, "training": {"epochs": 1}},  # small, for a page of documentation
)
(summary,) = results["summary"].values()
for model, entry in summary.items():  # the best first
    print(model, entry["mae_mean"], entry["mae_sd"], entry["parameters"])
