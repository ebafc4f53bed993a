"""Reports in a real browser: no error, no network, no barrier; drawn in light, dark, on a phone and in print.

They need playwright (the extra `browser`), a Chromium, and axe-core for the last ones; they are skipped visibly
without.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_reports import made_report

from elinformer._files import write_json
from elinformer.report.html import report_page
from elinformer.report.run import write_comparison

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
"""Script of axe-core: `npm install --no-save axe-core` puts it there."""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    (folder / "report.html").write_text(report_page(made_report()), encoding="utf-8")
    (folder / "many.html").write_text(report_page(made_report(1000)), encoding="utf-8")
    for name in ("a", "b"):
        (folder / name).mkdir()
        write_json(folder / name / "report.json", made_report(name=name))
    write_comparison([folder / "a", folder / "b"], folder / "comparison.html")
    return folder


@pytest.fixture
def open_page(browser: Any, folder: Path) -> Iterator[Open]:
    """Return a function that opens a page without network, and fails at the end if the page had an error."""
    problems: list[str] = []
    contexts: list[Any] = []

    def open_page(name: str = "report.html", *, width: int = 1200, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if request.url[:4] == "http" else None)
        page.goto((folder / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("name", ["report.html", "many.html", "comparison.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn(open_page: Open, name: str, scheme: str) -> None:
    page = open_page(name, scheme=scheme)
    charts = page.locator(".chart")
    assert charts.count() == page.locator(".chart canvas").count() > 0
    pixels = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert charts.first.locator("canvas").evaluate(pixels) > 10


@pytest.mark.parametrize("name", ["report.html", "many.html", "comparison.html"])
def test_nothing_is_wider_than_a_phone(open_page: Open, name: str) -> None:
    page = open_page(name, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_charts_answer_to_the_keyboard(open_page: Open) -> None:
    page = open_page()
    chart = page.locator('.chart[data-chart="horizon"]')
    chart.focus()
    page.keyboard.press("ArrowRight")
    assert chart.get_attribute("aria-valuenow") == "1"
    assert "elinformer 1.111" in chart.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    assert chart.get_attribute("aria-valuenow") == "11"
    assert "step 12" in page.locator("figure", has=chart).locator("output").inner_text()


def test_series_are_chosen_sorted_and_filtered(open_page: Open) -> None:
    page = open_page()
    page.select_option("#choice", index=5)
    assert page.locator("#explorer").get_attribute("data-chart") == page.locator("#choice").input_value()
    page.fill("#filter", "north/1")
    assert page.locator("#series tbody tr:visible").count() == 3  # 1, 10, 11
    assert page.locator("#filtered").inner_text() == "3 rows"
    page.get_by_role("button", name="MAE", exact=True).click()
    page.get_by_role("button", name="MAE", exact=True).click()
    assert page.locator("#series tbody tr:visible th").first.inner_text() == "north/11"


def test_the_numbers_of_a_chart_are_a_table(open_page: Open) -> None:
    page = open_page()
    page.locator('details[data-numbers="horizon"] summary').click()
    table = page.locator('details[data-numbers="horizon"] table')
    assert table.locator("tbody tr").count() == 12
    assert table.locator("thead th").all_inner_texts()[:2] == ["step", "elinformer"]


def test_the_theme_can_be_chosen(open_page: Open) -> None:
    page = open_page()
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) == light
    page.click("#theme")
    assert page.evaluate(background) != light


def test_print_is_light_and_without_controls(open_page: Open) -> None:
    page = open_page(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.locator("#series thead button").first.is_visible()  # the headings of a table that can be sorted
    assert page.pdf()[:4] == b"%PDF"


@pytest.mark.parametrize("name", ["report.html", "comparison.html"])
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "light")])
def test_axe_finds_no_barrier(open_page: Open, name: str, width: int, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: npm install --no-save axe-core, or its axe.min.js in $AXE_CORE")
    page = open_page(name, width=width, scheme=scheme)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(result => result.violations)")
    assert [(one["impact"], one["id"], one["nodes"][0]["html"]) for one in found] == []
