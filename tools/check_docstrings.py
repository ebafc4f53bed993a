"""Check the first word of docstrings: a verb, or the noun that the thing is.

    python tools/check_docstrings.py src

The script prints the place of every docstring that begins with a question word or a pronoun, and then exits with 1.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import NamedTuple

FORBIDDEN = {"What", "Where", "How", "Those", "Who", "That", "Whether", "Which", "When"}


class Finding(NamedTuple):
    """Docstring with a forbidden first word."""

    path: Path
    line: int
    docstring: str


def check_file(path: Path) -> list[Finding]:
    """Return the findings of a Python file, in the order of their lines."""
    findings: list[Finding] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None:
            continue
        first_word = re.match(r"\W*(\w*)", docstring)
        if first_word is not None and first_word[1].capitalize() in FORBIDDEN:
            findings.append(Finding(path, node.body[0].lineno, docstring.splitlines()[0]))
    return sorted(findings)


def main(folders: list[str]) -> int:
    """Check all Python files below folders, print the findings, and return the exit code."""
    findings = [
        finding for folder in folders for path in sorted(Path(folder).rglob("*.py")) for finding in check_file(path)
    ]
    for path, line, docstring in findings:
        print(f"{path}:{line}: {docstring}")
    if findings:
        print(
            f"{len(findings)} docstrings begin with one of {', '.join(sorted(FORBIDDEN))}: begin with a verb or a noun"
        )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
