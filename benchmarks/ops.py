"""Compare all attentions: time, peak memory, and the distance to the floor.

    python -m benchmarks.ops --quick

First each attention runs once in a process of its own, to measure its peak memory and to find out if it fits and ends
in time. Then all that did take turns in one process, and the least times count. The floor is the longer of two times of
the same run: a copy of the least bytes, and the least operations at the speed of a large product.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import _variants
from benchmarks._children import in_child
from benchmarks._common import environment, environment_text, load_warning, write_results
from benchmarks._measure import FLOORS, LIMIT, Race, Setting, fits_race, floor_seconds, probe, race
from benchmarks._summary import seconds_text, summary
from benchmarks._variants import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = [
    Shape(32, 4, 207, 16),
    Shape(32, 4, 883, 32),
    Shape(1, 4, 2048, 32),
    Shape(1, 4, 8600, 32),
    Shape(1, 4, 65536, 32),
    Shape(1, 4, 1048576, 32),
]
ON_GPU = [Shape(4, 8, 8600, 32)]
QUICK = [SHAPES[0], SHAPES[2]]
DTYPES = ["float32", "bfloat16"]


def main() -> None:
    """Measure and print; write the results after every shape, so that an interrupted run keeps them."""
    options = _options()
    shapes = QUICK if options.quick else SHAPES + (ON_GPU if options.device == "cuda" else [])
    budget, turns = (0.3, 2) if options.quick else (2.0, 3)
    settings = [
        Setting(shape, getattr(torch, dtype), options.device, options.threads, budget, turns)
        for dtype in options.dtype
        for shape in shapes
    ]
    notes = [note for note in [load_warning()] if note]
    data: dict[str, Any] = {"about": environment(options.device, options.threads), "notes": notes, "rows": []}
    print(f"# Attention operators\n\n{environment_text(data['about'])}", *notes, sep="\n\n", flush=True)
    sections: list[str] = []
    for done, setting in enumerate(settings, 1):
        section = list(_measured(setting, options.only, data["rows"]))
        sections.append(_table(setting, section, notes))
        print(f"\n{sections[-1]}", flush=True)
        data["rows"] += section
        data["ended"] = done == len(settings)
        write_results(_name(options), data, _page(data, sections))
    print(f"\n{summary(data['rows'])}")


def _name(options: argparse.Namespace) -> str:
    """Name of the result files; a partial run never replaces a whole one."""
    is_whole = options.only == _variants.names() and options.dtype == DTYPES
    kind = "-quick" if options.quick else "" if is_whole else "-partial"
    return f"ops-{options.device}{kind}"


def _page(data: dict[str, Any], sections: list[str]) -> str:
    unfinished = [] if data["ended"] else ["The run has not ended: shapes are missing."]
    head = ["# Attention operators", environment_text(data["about"]), *unfinished, *data["notes"], _legend()]
    return "\n\n".join([*head, *sections, summary(data["rows"])])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description="Every attention side by side")
    parser.add_argument("--quick", action="store_true", help="two small shapes, under a minute")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=None)
    parser.add_argument("--only", nargs="+", choices=_variants.names(), default=_variants.names())
    options = parser.parse_args()
    options.dtype = options.dtype or (DTYPES[:1] if options.quick else DTYPES)
    return options


def _measured(setting: Setting, names: list[str], before: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each attention."""
    if _backend("eala", setting) == "torch":
        names = [name for name in names if name != _variants.PLAIN]
    probes = {name: _estimated(name, setting, before) or _probed(name, setting) for name in names}
    able = [n for n, found in probes.items() if "failure" not in found and fits_race(found["peak"], setting)]
    sent = in_child(race, able, setting, seconds=LIMIT * (len(able) + 1), limit=LIMIT)
    result: Race = sent.get("race") or Race(note=f"The race did not end: {sent.get('failure')}.")
    floors = None
    if all(name in result.forward for name in FLOORS):
        floors = {backward: floor_seconds(result, setting.shape, backward=backward) for backward in (False, True)}
    for name in names:
        forward = result.forward.get(name, probes[name].get("forward"))
        both = result.both.get(name, probes[name].get("both"))
        yield {
            "operator": name,
            "shape": list(setting.shape),
            "dtype": str(setting.dtype).removeprefix("torch."),
            "backend": _backend(name, setting),
            "forward_s": forward,
            "both_s": both,
            "floor_forward_s": floors and floors[False],
            "floor_both_s": floors and floors[True],
            "peak_bytes": probes[name].get("peak"),
            "eight_tensors_bytes": 8 * setting.shape.numbers * setting.dtype.itemsize,
            "failure": probes[name].get("failure"),
            "note": result.note,
        }


def _probed(name: str, setting: Setting) -> dict[str, Any]:
    found = in_child(probe, name, setting, seconds=LIMIT + 15, limit=LIMIT)
    if found.get("both", 0) > LIMIT:
        found["failure"] = f"over {LIMIT:.0f} s"
    return found


def _estimated(name: str, setting: Setting, before: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Estimate a time far over the limit from a shorter length; None if it is not far over."""
    for row in reversed(before):
        B, H, N, E = row["shape"]
        if (row["operator"], row["dtype"]) == (name, str(setting.dtype).removeprefix("torch.")) and row["both_s"]:
            shape = setting.shape
            work = shape.B * shape.H * shape.E / (B * H * E) * (shape.N / N) ** _variants.order(name)
            seconds = row["both_s"] * work
            return {"failure": f"over {LIMIT:.0f} s (about {seconds:,.0f} s)"} if seconds > 3 * LIMIT else None
    return None


def _backend(name: str, setting: Setting) -> str | None:
    if name == _variants.PLAIN:
        return "torch"
    return _variants.chosen_backend(setting.shape, setting.device, setting.dtype) if name == "eala" else None


def _table(setting: Setting, rows: list[dict[str, Any]], notes: list[str]) -> str:
    dtype = str(setting.dtype).removeprefix("torch.")
    softmax = next((row["both_s"] for row in rows if row["operator"] == "softmax"), None)
    lines = [
        f"## (B, H, N, E) = {setting.shape}, {dtype}",
        "",
        "| attention | forward | x floor | forward + backward | x floor | x faster than softmax | memory | x eight |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_line(row, softmax) for row in rows),
    ]
    note = next((row["note"] for row in rows if row["note"]), None)
    if note:
        lines += ["", note]
        notes.append(f"{setting.shape}, {dtype}: {note}")
    return "\n".join(lines)


def _line(row: dict[str, Any], softmax: float | None) -> str:
    name = row["operator"] + (f" ({row['backend']})" if row["operator"] == "eala" else "")
    both = seconds_text(row["both_s"])
    if row["failure"]:
        both = row["failure"]
    cells = [
        name,
        seconds_text(row["forward_s"]),
        _ratio(row["forward_s"], row["floor_forward_s"]),
        both,
        _ratio(row["both_s"], row["floor_both_s"]),
        _ratio(softmax, row["both_s"]),
        "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:,.0f} MiB",
        _ratio(row["peak_bytes"], row["eight_tensors_bytes"]),
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(a: float | None, b: float | None) -> str:
    return f"{a / b:,.2f}" if a and b else ""


def _legend() -> str:
    return (
        "Least times of attentions that took turns in one process. The floor is a copy of the bytes that have to "
        "move, or the operations at the speed of a large product, whichever takes longer. Peak memory counts inputs, "
        "output and all gradients: eight tensors of the shape are the least. What a method learns is given and gets "
        "no gradient."
    )


if __name__ == "__main__":
    main()
