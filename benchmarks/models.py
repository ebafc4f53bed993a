"""Compare models: time of a training step, of a forecast, and of the matrix products of a step.

    python -m benchmarks.models --models elinformer elinformer@attention=softmax staeformer

All models take turns in one process, and the least times count. The floor of a step runs its matrix products alone,
which are recorded from a real step, with those inside EALA's operator. A step runs in float32 and in mixed precision
(`precision="bf16-mixed"`).
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import torch

from benchmarks._common import OtherLoad, environment, environment_text, load_warning, name_and_options, write_results
from benchmarks._products import recorded, replay
from elinformer.batch import Batch
from elinformer.models import MODELS, Sizes, build_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn


def main() -> None:
    """Measure, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    notes = [note for note in [load_warning()] if note]
    with OtherLoad() as other_load:
        rows = measured(options.models, options)
    notes += [note for note in [other_load.note()] if note]
    about = environment(options.device, options.threads)
    text = "\n\n".join(["# Models", environment_text(about), *notes, _setting(options), table(rows)])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "notes": notes, "rows": rows}, text)


def measured(names: Iterable[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Least seconds of a step, of its products and of a forecast, for each model, taken in turns."""
    runs: dict[tuple[str, str], Callable[[], object]] = {}
    parameters = {}
    for name in names:
        model = _model(name, options)
        step, forecast = _step(model, options), _forecast(model, options)
        runs |= {(name, "step"): step, (name, "forecast"): forecast, (name, "products"): replay(recorded(step))}
        runs[name, "mixed"] = _step(model, options, mixed=True)
        parameters[name] = sum(p.numel() for p in model.parameters())
    least: dict[tuple[str, str], float] = {}
    for turn in range(options.turns + 1):
        for key, run in runs.items():
            began = time.perf_counter()
            run()
            seconds = time.perf_counter() - began
            if turn:  # the first turn warms up
                least[key] = min(least.get(key, seconds), seconds)
    parts = ("step", "mixed", "products", "forecast")
    return [{"model": n, "parameters": parameters[n], **{part: least[n, part] for part in parts}} for n in parameters]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: ratios to the first model, and each model's step over its own products."""
    first = rows[0]
    name = first["model"]
    ratios = [f"training step / {name}'s", f"forecast / {name}'s", "step / its products", "step in float32 / mixed"]
    lines = [f"| model | parameters | {' | '.join(ratios)} |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['model']} | {row['parameters']:,} | {row['step'] / first['step']:.2f} | "
        f"{row['forecast'] / first['forecast']:.2f} | {row['step'] / row['products']:.2f} | "
        f"{row['step'] / row['mixed']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _setting(options: argparse.Namespace) -> str:
    return (
        f"{options.series} series, {options.channels} channels, window {options.window}, horizon {options.horizon}, "
        f"batches of {options.batch_size}; least of {options.turns} interleaved turns."
    )


def _model(name: str, options: argparse.Namespace) -> nn.Module:
    sizes = Sizes(options.window, options.horizon, options.series, options.channels, n_slots=288)
    name, chosen = name_and_options(name)
    return build_model(name, sizes, chosen).to(options.device)


def _batch(options: argparse.Namespace) -> Batch:
    shape = (options.batch_size, options.window, options.series, options.channels)
    steps = options.window + options.horizon
    calendar = torch.randint(1, 8, (options.batch_size, steps, 2), device=options.device)
    values = torch.randn(shape, device=options.device)
    return Batch(values, torch.ones_like(values, dtype=torch.bool), calendar)


def _step(model: nn.Module, options: argparse.Namespace, *, mixed: bool = False) -> Callable[[], object]:
    """Make a step: forward, backward, clipping and AdamW, as in training."""
    batch, optimizer = _batch(options), torch.optim.AdamW(model.parameters())

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        with torch.autocast(options.device, torch.bfloat16, enabled=mixed):
            loss = model(batch).abs().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        _wait(options.device)

    return step


def _forecast(model: nn.Module, options: argparse.Namespace) -> Callable[[], object]:
    batch = _batch(options)

    def forecast() -> None:
        model.eval()
        with torch.inference_mode():
            model(batch)
        _wait(options.device)

    return forecast


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    for name, default in (("series", 80), ("channels", 1), ("window", 12), ("horizon", 12), ("batch-size", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", help="write benchmarks/results/OUT.json and .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
