"""Compare errors with the sharpness of attention that validation chose with those as it was trained.

    python -m research.flattening TABLE... --out flattening

TABLE is a folder that `elinformer compare` wrote, with its trained models. Nothing is trained here. Each model whose
attention validation may flatten (`elinformer.training.callbacks.calibration`) is scored twice on the validation and the
test part: as it was trained, and with the sharpness that validation chose.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from benchmarks._common import environment, environment_text, write_results

from elinformer.workflows import open_run
from research import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from elinformer.data.reach import PartName
    from elinformer.evaluation import MetricSums

PARTS: tuple[PartName, ...] = ("validation", "test")


def main() -> None:
    """Measure, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    scored = sorted(path for table in options.tables for path in Path(table, "runs").glob("*/*/*.json"))
    runs = [path.with_suffix("") for path in scored if path.with_suffix("").is_dir()]
    rows = [row for run in runs if (row := measured(run)) is not None]
    if not rows:
        raise SystemExit("expected trained models that are calibrated in a TABLE, got none")
    about = environment("cpu", options.threads)
    text = "\n\n".join(["# Attention flattened after training", environment_text(about), flattening_table(rows)])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "rows": rows}, text, RESULTS)


def measured(run: Path) -> dict[str, Any] | None:
    """Scaled errors of a run by part, as trained and as chosen; None of a model that is not calibrated."""
    forecaster, panel = open_run(run)
    model: Any = forecaster.trained.model
    if not getattr(model, "calibrates", False):
        return None
    chosen = float(model.get_buffer("sharpness"))
    scale = torch.from_numpy(forecaster.split_panel(panel).error_scale(forecaster.training.loss_scale))
    errors = {}
    for sharpness in {chosen, 1.0}:
        model.set_sharpness(sharpness)
        errors[sharpness] = {part: _scaled_error(forecaster.backtest(panel, split=part), scale) for part in PARTS}
    return {
        "data": panel.name,
        "attention": model.config.attention,
        "seed": forecaster.training.seed,
        "sharpness": chosen,
        "as chosen": errors[chosen],
        "as trained": errors[1.0],
    }


def _scaled_error(sums: MetricSums, scale: Tensor) -> float:
    by_channel = (sums.absolute / scale).sum((0, 1)) / sums.count.sum((0, 1))
    return float(by_channel.nanmean())


def flattening_table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: the sharpness kept by seed, and by how many percent the mean error changes."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["data"], row["attention"]].append(row)
    lines = ["| data | attention | kept, by seed | validation error | test error |", "|---|---|---|---:|---:|"]
    for (data, attention), found in groups.items():
        kept = ", ".join(f"{row['sharpness']:g}" for row in sorted(found, key=lambda row: row["seed"]))
        lines.append(f"| {data} | {attention} | {kept} | {' | '.join(_change(found, part) for part in PARTS)} |")
    return "\n".join(lines)


def _change(rows: list[dict[str, Any]], part: str) -> str:
    chosen, trained = (fmean(row[name][part] for row in rows) for name in ("as chosen", "as trained"))
    return f"{100 * (chosen / trained - 1):+.1f} %"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="TABLE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write research/results/OUT.json and .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
