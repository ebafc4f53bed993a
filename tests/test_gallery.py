"""The pages of the gallery are in step with their scripts; `python tools/gallery.py` runs them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts import load_script

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
gallery = load_script(ROOT / "tools/gallery.py")
EXAMPLES = [script.stem for script in gallery.examples()]


def page_of(name: str) -> str:
    return (GALLERY / f"{name}.md").read_text(encoding="utf-8")


def test_the_index_names_every_example() -> None:
    assert EXAMPLES
    assert set(EXAMPLES) == set(re.findall(r"\]\(([\w-]+)\.md\)", page_of("index")))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_code_of_a_page_is_its_script(name: str) -> None:
    code = gallery.code_of(GALLERY / f"{name}.py")
    assert f"```python\n{code}\n```" in page_of(name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_page_shows_what_its_script_prints_and_draws(name: str) -> None:
    page = page_of(name)
    output = gallery.OUTPUT.search(page)[0].splitlines()[1:-1]
    assert output
    assert not re.search(r"/(home|root|tmp|work)\b", page)
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert pictures == re.findall(r'savefig\("([^"]+)"\)', page)
    assert all((GALLERY / picture).stat().st_size < 200_000 for picture in pictures)


def test_code_output_and_date_of_a_page_are_replaced() -> None:
    page = "# A\n\n```python\nold\n```\n\n```text\nold\n```\n\n*Made on old.*\n"
    new = gallery.page_with(page, "a = 1", "1\n2", "new")
    assert new == "# A\n\n```python\na = 1\n```\n\n```text\n1\n2\n```\n\n*Made on new*\n"
    with pytest.raises(ValueError, match="expected a place"):
        gallery.page_with("# A\n", "a = 1", "1", "new")


@pytest.mark.parametrize("name", ["demo", "hangzhou"])
def test_a_report_of_the_gallery_is_whole_and_small(name: str) -> None:
    page = (GALLERY / "reports" / f"{name}.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert len(page.encode()) < 1_500_000
