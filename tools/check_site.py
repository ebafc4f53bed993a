"""Check that every link inside a built site leads to a file and, where it names one, to an anchor in it.

python tools/check_site.py site
"""

from __future__ import annotations

import html
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r'(?:href|src)="([^"]+)"')
ELSEWHERE = re.compile(r"[a-z]+:|//|#$")


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def dead_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = sorted({html.unescape(link) for link in LINK.findall(page.read_text(encoding="utf-8"))})
    return [link for link in found if not ELSEWHERE.match(link) and _is_dead(page, link)]


def _is_dead(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / unquote(path)).resolve() if path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return True
    return bool(anchor) and target.suffix == ".html" and unquote(anchor) not in anchors(target)


def main() -> None:
    """Print dead links and exit with their number."""
    pages = [page for page in Path(sys.argv[1]).rglob("*.html") if page.name != "404.html"]
    dead = [f"{page}: {link}" for page in pages for link in dead_links(page)]
    print("\n".join([*dead, f"{len(pages)} pages, {len(dead)} dead links"]))
    sys.exit(bool(dead) or not pages)


if __name__ == "__main__":
    main()
