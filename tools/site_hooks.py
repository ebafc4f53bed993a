"""Hooks of MkDocs: pages of the repository outside docs/ join the site, and links lead to them.

A link to a file that is no page of the site, such as source code, becomes plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "repository/"
OUTSIDE = ("*.md", "research/**/*.md", "research/**/*.svg", "benchmarks/results/*.md", "src/elinformer/**/*.md")
"""Files outside docs/ that join the site, below `PREFIX`."""
NOT_IN_THE_SITE = ("README.md", "AGENTS.md")
LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\(\s*(?P<target>(?![a-z]+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\s*\)")


def outside_files() -> list[str]:
    """Return the paths in the repository of the files outside docs/ that join the site."""
    found = {path.relative_to(ROOT).as_posix() for pattern in OUTSIDE for path in ROOT.glob(pattern)}
    return sorted(found - set(NOT_IN_THE_SITE))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/."""
    from mkdocs.structure.files import File

    for path in outside_files():
        files.append(File.generated(config, PREFIX + path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Rewrite the links of a page; MkDocs chooses the parameters."""
    return rewrite_links(markdown, page.file.src_uri, {file.src_uri for file in files})


def rewrite_links(markdown: str, page: str, files: set[str]) -> str:
    """Return the text of a page with links that hold in the site.

    Args:
        markdown: The text.
        page: Path of the page in the site, such as "runs.md" or "repository/research/tried.md".
        files: Paths of all files of the site.
    """
    place = page.removeprefix(PREFIX) if page.startswith(PREFIX) else f"docs/{page}"

    def rewritten(link: re.Match[str]) -> str:
        target = os.path.normpath(Path(place).parent / link["target"]).replace(os.sep, "/")
        in_site = target.removeprefix("docs/") if target.startswith("docs/") else PREFIX + target
        if in_site not in files:
            return link["text"]
        relative = os.path.relpath(in_site, Path(page).parent).replace(os.sep, "/")
        return f"{link['mark']}[{link['text']}]({relative}{link['anchor'] or ''})"

    return LINK.sub(rewritten, markdown)
