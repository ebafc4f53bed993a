"""Measure errors and entropies of a trained model while its attention is forced flatter or sharper.

    python -m research.sharpness RUN --out sharpness-hangzhou-eala

RUN is a folder that `elinformer train` wrote, of an `elinformer` with the attention `eala` or `softmax`. Nothing is
trained here: the parameters of the model stay, and only the map from scores to weights is changed. "As trained" is the
model before validation chose its sharpness, "as chosen" is the model after that.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import torch
from benchmarks._common import environment, environment_text, write_results

from elinformer.data.windows import WindowDataset
from elinformer.evaluation import backtest
from elinformer.models import ELinFormerConfig
from elinformer.nn import set_sharpness
from elinformer.workflows import open_run
from research import RESULTS
from research._forced import FORCED, forced

if TYPE_CHECKING:
    from elinformer.trained_model import TrainedModel

NUMBERS_AT_ONCE = 20_000_000  # of dense weights
SHOWN = 5e-5  # of negative weight; less is rounding


def main() -> None:
    """Measure, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    forecaster, panel = open_run(options.run, options.data)
    trained = forecaster.trained
    attention = attention_of(trained)
    origins = forecaster.split_panel(panel).origins(options.part)
    if options.windows:
        origins = origins[:: max(1, len(origins) // options.windows)]
    windows = WindowDataset(trained.info.align(panel), trained.info.calendar, origins, trained.reach)
    rows = measured(trained, windows)
    about = environment("cpu", options.threads)
    title = f"# Trained with {attention} on {panel.name}, {len(windows)} windows of the {options.part} part"
    text = "\n\n".join([title, environment_text(about), error_table(rows), head_table(rows)])
    print(text)
    if options.out:
        data = {"about": about, "data": panel.name, "part": options.part, "rows": rows}
        write_results(options.out, data | {"trained_with": attention, "windows": len(windows)}, text, RESULTS)


def measured(trained: TrainedModel, windows: WindowDataset) -> list[dict[str, Any]]:
    """MAE and the attention of every layer by head: as trained, with each of `FORCED`, as chosen."""
    model = trained.model
    chosen = float(model.get_buffer("sharpness"))
    last = _row("as chosen", trained, windows, trained.batch_size) | {"sharpness": chosen}
    set_sharpness(model, 1)
    rows = [_row("as trained", trained, windows, trained.batch_size)]
    for name, weights in FORCED.items():
        with forced(model, weights) as layers:
            rows.append(_row(name, trained, windows, _batch_size(trained)))
            rows[-1]["layers"] = [layer.by_head() for layer in layers]
    set_sharpness(model, chosen)
    return [*rows, last]


def attention_of(trained: TrainedModel) -> str:
    """Return the attention that the model was trained with; refuse all but EALA and softmax."""
    config = getattr(trained.model, "config", None)
    if not isinstance(config, ELinFormerConfig) or config.attention not in {"eala", "softmax"}:
        raise SystemExit(f"expected a run of elinformer with eala or softmax, got one of {trained.config['model']}")
    return config.attention


def _row(name: str, trained: TrainedModel, windows: WindowDataset, batch_size: int) -> dict[str, Any]:
    sums = backtest(trained.forecast, windows, batch_size)
    steps = [sums.scores(step=step).mae for step in range(windows.horizon)]
    return {"attention": name, "mae": sums.scores().mae, "mae_by_step": steps, "layers": []}


def _batch_size(trained: TrainedModel) -> int:
    config: Any = trained.model.config
    return max(1, NUMBERS_AT_ONCE // (config.n_heads * config.n_tokens**2))


def error_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: error beside entropy, flat to sharp."""
    first = rows[0]["mae"]
    lines = [
        "| attention | MAE | against as trained | entropy / log n by layer | negative weight |",
        "|---|---:|---:|---|---:|",
    ]
    for row in rows:
        shares = ", ".join(f"{_mean(layer['share_of_log_n']):.3f}" for layer in row["layers"])
        negative = max((_mean(layer["negative_weight"]) for layer in row["layers"]), default=0.0)
        lines.append(
            f"| {row['attention']} | {row['mae']:.4f} | {100 * (row['mae'] / first - 1):+.2f} % | {shares} "
            f"| {f'{negative:.4f}' if negative >= SHOWN else ''} |"
        )
    return "\n".join(lines)


def head_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: entropy / log n of every head, for EALA and for the softmax of the same scores."""
    shown = {row["attention"]: row["layers"] for row in rows}
    lines = ["| layer | head | EALA | softmax of the same scores | queries with m > 1 |", "|---:|---:|---:|---:|---:|"]
    both = zip(shown["c = max(1, m)"], shown["softmax, temperature 1"], strict=True)
    for i, (eala, softmax) in enumerate(both):
        columns = eala["share_of_log_n"], softmax["share_of_log_n"], eala["share_with_m_above_1"]
        lines += [
            f"| {i + 1} | {head + 1} | {ours:.4f} | {theirs:.4f} | {100 * above:.1f} % |"
            for head, (ours, theirs, above) in enumerate(zip(*columns, strict=True))
        ]
    return "\n".join(lines)


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data", help="other data than those of training")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--windows", type=int, default=0, help="about how many, evenly spread; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write research/results/OUT.json and .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
