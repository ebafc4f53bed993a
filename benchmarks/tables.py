"""Write the tables of docs/results.md anew, from the committed comparisons.

    python -m benchmarks.tables

What stands between `<!-- compare-NAME -->` and `<!-- end -->` is made from `benchmarks/results/compare-NAME.json`:
scores, by channel too where there are several, and differences. `<!-- ranks -->` has the ranks over all of them.
"""

from __future__ import annotations

import json
import re
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from benchmarks._common import RESULTS
from elinformer._files import new_file
from elinformer.comparison.display import Sheet, markdown_table, sheets
from elinformer.comparison.statistics import ranks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elinformer.comparison.plan import Document

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
RANKS = re.compile(r"(<!-- ranks -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES = re.compile(r"(<!-- (compare-[a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, results: Path = RESULTS) -> str:
    """The page with the tables of the comparisons in `results`."""

    def tables(found: re.Match[str]) -> str:
        document = _read(results / f"{found[2]}.json")
        return f"{found[1]}\n{tables_of(document)}\n\n{found[3]}"

    def places(found: re.Match[str]) -> str:
        files = sorted(results.glob("compare-*.json"))
        return f"{found[1]}\n{ranks_table([_read(file) for file in files])}\n\n{found[2]}"

    return RANKS.sub(places, TABLES.sub(tables, page))


def _read(file: Path) -> Document:
    return json.loads(file.read_text(encoding="utf-8"))


def ranks_table(documents: Iterable[Document]) -> str:
    """Markdown: the place of each model by the scaled error on every data set, of the models that all of them have."""
    summaries = {data: entries for document in documents for data, entries in document["summary"].items()}
    common = set.intersection(*(set(entries) for entries in summaries.values()))
    places = [
        ranks({model: entries[model]["scaled_error_mean"] for model in entries if model in common})
        for entries in summaries.values()
    ]
    rows = [(model, *(place[model] for place in places), fmean(place[model] for place in places)) for model in common]
    cells = [
        (row[0], *(f"{rank:g}" for rank in row[1:-1]), f"{row[-1]:.2f}") for row in sorted(rows, key=itemgetter(-1, 0))
    ]
    return markdown_table(Sheet("ranks", "", ("model", *summaries, "mean"), tuple(cells)))


def tables_of(results: Document) -> str:
    """Markdown: what the models err by, and by how much more than the reference."""
    shown = [sheet for sheet in sheets(results) if sheet.kind != "costs"]
    return "\n\n".join(f"{sheet.title}:\n\n{markdown_table(sheet)}" for sheet in shown)


def main() -> None:
    """Rewrite the page."""
    text = filled(PAGE.read_text(encoding="utf-8"))
    with new_file(PAGE) as new:
        new.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
