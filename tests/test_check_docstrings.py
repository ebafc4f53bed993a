"""The check of docstrings finds forbidden first words, with file and line."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

SOURCE = '''"""Module with docstrings."""


def good() -> None:
    """Return nothing."""


class Bad:
    """What the class is."""

    async def method(self) -> None:
        """
        Whether it is awaited.
        """

    def whatever(self) -> None:
        """Whatever is a longer word."""
        text = "What a text"
'''


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(Path(__file__).parents[1] / "tools" / "check_docstrings.py")


def test_forbidden_first_words_are_printed_with_file_and_line(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "package" / "module.py"
    file.parent.mkdir()
    file.write_text(SOURCE, encoding="utf-8")
    assert script.main([str(tmp_path)]) == 1
    first, second, summary = capsys.readouterr().out.splitlines()
    assert first == f"{file}:9: What the class is."
    assert second == f"{file}:12: Whether it is awaited."
    assert summary.startswith("2 docstrings")


def test_the_docstring_of_a_module_is_checked(script: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""Where things are."""\n', encoding="utf-8")
    assert [(finding.line, finding.docstring) for finding in script.check_file(file)] == [(1, "Where things are.")]


def test_files_without_findings_exit_with_0(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module.py").write_text("x = 1\n", encoding="utf-8")
    assert script.main([str(tmp_path)]) == 0
    assert not capsys.readouterr().out
