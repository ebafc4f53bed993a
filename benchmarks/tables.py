"""Write the tables of docs/results.md anew, from the committed comparisons.

    python -m benchmarks.tables

What stands between `<!-- compare-NAME -->` and `<!-- end -->` is made from `benchmarks/results/compare-NAME.json`:
scores, by channel too where there are several, and differences.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._common import RESULTS
from elinformer._files import new_file
from elinformer.comparison.report import markdown_table, sheets

if TYPE_CHECKING:
    from elinformer.comparison.plan import Document

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
TABLES = re.compile(r"(<!-- (compare-[a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, results: Path = RESULTS) -> str:
    """The page with the tables of the comparisons in `results`."""

    def tables(found: re.Match[str]) -> str:
        document = json.loads((results / f"{found[2]}.json").read_text(encoding="utf-8"))
        return f"{found[1]}\n{tables_of(document)}\n\n{found[3]}"

    return TABLES.sub(tables, page)


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
