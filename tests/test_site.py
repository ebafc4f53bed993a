"""The documentation site and the files of a release: links, pages, versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from scripts import load_script

ROOT = Path(__file__).parents[1]
hooks = load_script(ROOT / "tools/site_hooks.py")
check_site = load_script(ROOT / "tools/check_site.py")

FILES = {"runs.md", "api/data.md", "images/a.svg", "repository/CHANGELOG.md", "repository/research/tried.md"}


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("runs.md", "[a](../CHANGELOG.md#new)", "[a](repository/CHANGELOG.md#new)"),
        ("api/data.md", "[a](../runs.md) ![b](../images/a.svg)", "[a](../runs.md) ![b](../images/a.svg)"),
        ("repository/research/tried.md", "[a\nb](../docs/runs.md)", "[a\nb](../../runs.md)"),
        ("repository/CHANGELOG.md", "[a](research/tried.md)", "[a](research/tried.md)"),
        ("runs.md", "[the code](../src/a.py) and [b](https://c.d/e.md)", "the code and [b](https://c.d/e.md)"),
        ("runs.md", "[a](#resume)", "[a](#resume)"),
    ],
)
def test_links_hold_in_the_site(page: str, before: str, after: str) -> None:
    assert hooks.rewrite_links(before, page, FILES) == after


def test_pages_outside_the_manual_join_the_site_but_not_the_readme() -> None:
    outside = hooks.outside_files()
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "research/tried.md"} <= set(outside)
    assert "README.md" not in outside


def test_every_page_of_the_manual_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/-]+\.md", config[config.index("\nnav:") :]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages - named == set()


def test_pages_for_language_models_exist() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/llms.txt").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []


def test_dead_links_of_a_built_site_are_found(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/index.html").write_text('<h1 id="top"></h1><a href="..">up</a>', encoding="utf-8")
    page = tmp_path / "index.html"
    links = ("there/", "there/#top", "there/#gone", "gone.html", "https://a.b/c", "#", "#gone")
    page.write_text("".join(f'<a href="{link}"></a>' for link in links), encoding="utf-8")
    assert check_site.dead_links(page) == ["#gone", "gone.html", "there/#gone"]
    assert check_site.dead_links(tmp_path / "there/index.html") == []


def test_all_files_of_a_release_have_the_same_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name, mark in {
        "src/elinformer/__init__.py": f'__version__ = "{version}"',
        "CITATION.cff": f"\nversion: {version}\n",
        "packaging/conda/recipe.yaml": f"\n  version: {version}\n",
    }.items():
        assert mark in (ROOT / name).read_text(encoding="utf-8"), name


def test_the_conda_recipe_has_the_dependencies_of_the_package() -> None:
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text(encoding="utf-8"))
    other_names = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {tuple(re.split("(?=>=)", line)) for line in package["dependencies"]}
    wanted = {(other_names.get(name, name), bound) for name, bound in wanted}
    wanted |= {("python", package["requires-python"])}
    assert {tuple(line.split()) for line in recipe["requirements"]["run"]} == wanted


def test_the_workflows_test_every_python_of_the_classifiers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    prefix = "Programming Language :: Python :: "
    versions = [
        name.removeprefix(prefix) for name in project["project"]["classifiers"] if re.match(prefix + r"3\.", name)
    ]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions
    wheels = [f"cp{version.replace('.', '')}-*" for version in versions]
    assert project["tool"]["cibuildwheel"]["build"] == wheels


def test_every_workflow_has_read_permissions_and_time_limits() -> None:
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] <= 90, (path.name, name)
