"""Links between pages lead to an existing file, and to a heading or an anchor in it; the index leads to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("*.md", "docs/*.md", "docs/gallery/*.md", "research/*.md", "src/elinformer/**/*.md")
PAGES = sorted(page for pattern in FOLDERS for page in ROOT.glob(pattern))
LINK = re.compile(r"\]\(\s*([^)\s]+)\s*\)")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub makes of the headings of a page, and the anchors in its text."""
    text = page.read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}
    return headings | set(re.findall(r'<a id="([^"]+)"', text))


def targets(page: Path) -> dict[str, Path]:
    """Links of a page within the repository, and the files that they name."""
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not re.match(r"[a-z]+:", link)]
    return {link: (page.parent / path).resolve() if (path := link.partition("#")[0]) else page for link in links}


def dead_links(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""

    def is_dead(link: str, target: Path) -> bool:
        anchor = link.partition("#")[2]
        return not target.exists() or bool(anchor and target.suffix == ".md" and anchor not in anchors(target))

    return [link for link, target in targets(page).items() if is_dead(link, target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_the_index_leads_to_every_page_of_the_manual() -> None:
    index = ROOT / "docs/index.md"
    assert {*(ROOT / "docs").glob("*.md")} - {index} <= set(targets(index).values())


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text('# What `it` is, at last\n<a id="peers"></a>\n', encoding="utf-8")
    links = [
        "there.md",
        "there.md#what-it-is-at-last",
        "there.md#peers",
        "https://a.b/c",
        "gone.md",
        "there.md#gone",
        "#x",
    ]
    (tmp_path / "page.md").write_text(" ".join(f"[a]({link})" for link in links), encoding="utf-8")
    assert dead_links(tmp_path / "page.md") == ["gone.md", "there.md#gone", "#x"]
