"""Write docs/options.md from the table of options: python tools/options_page.py."""

from __future__ import annotations

from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer._options import rows
from elinformer.data.options import ReadingOptions, TaskOptions
from elinformer.models.registry import MODELS, model_rows
from elinformer.options import TRAINING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elinformer._options import Row

PAGE = Path(__file__).parents[1] / "docs" / "options.md"

HEAD = """# All options

Made from the source by `python tools/options_page.py`; edit the options there, not here.

A settings file (`--config settings.toml`) has the options of task and reading at its top, those of training in the
table `[training]`, those of the model in `[model]`, with its `name`. Options with a flag can also be given on the
command line of `elinformer train`, which wins over the file: `batch_size` is `--batch-size`. In `elinformer compare`,
options of data follow an @ (`speeds.npz@window=24,split=0.7/0.1/0.2`), and so do options of models
(`elinformer@attention=softmax,n_layers=2`). From Python, `TrainingConfig` has those of training, and `Forecaster(...,
model={...})` takes those of the model.
"""


def page() -> str:
    """Return the page."""
    parts = [
        HEAD,
        f"## Task\n\n{table(rows(TaskOptions).values())}",
        f"## Reading a file\n\n{table(rows(ReadingOptions).values())}",
        f"## Training\n\nTable `[training]`, or `TrainingConfig`.\n\n{table(TRAINING.values())}",
    ]
    for name in (name for name, entry in MODELS.items() if entry.build.__module__.startswith("elinformer.models.")):
        found = [row for row in model_rows(name).values() if row.help]
        parts.append(f"## Model `{name}`\n\nTable `[model]`.\n\n{table(found, with_flags=False)}")
    return "\n".join(parts)


def table(found: Iterable[Row], *, with_flags: bool = True) -> str:
    """Return a table in Markdown, a line an option."""
    heads = ["option", "default", "values", *(["flag"] if with_flags else []), "meaning"]
    lines = [heads, ["---"] * len(heads)]
    for row in found:
        flag = [f"`{row.flag_name}`" if row.flag else ""] if with_flags else []
        lines.append([f"`{row.name}`", _default(row), _values(row), *flag, row.help])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _default(row: Row) -> str:
    if row.default in {None, (), MISSING}:
        return "none"
    if row.kind is bool:
        return str(row.default).lower()
    is_list = row.many and not isinstance(row.default, str)  # "auto" is none
    return ", ".join(map(str, row.default)) if is_list else str(row.default)


def _values(row: Row) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    limits = [
        f"{words} {limit:g}"
        for words, limit in (("at least", row.at_least), ("above", row.above), ("below", row.below))
        if limit is not None
    ]
    kinds = {int: "whole number", float: "number", str: "text", bool: "true, false", object: "number or text"}
    kind = kinds[row.kind]
    return ", ".join([f"{kind}s" if row.many else kind, *limits])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
