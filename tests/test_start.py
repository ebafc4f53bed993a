"""Start of the command: no import that an answer does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
sys.argv = ["elinformer", *{arguments}]
from elinformer.__main__ import main
try:
    main()
except SystemExit as end:
    print("exit code", end.code)
print("imported", *{{"torch", "pytorch_lightning", "pandas", "pyarrow", "rich"}} & sys.modules.keys())
"""


def answer(arguments: list[str], folder: Path) -> tuple[str, str]:
    """Run the command in a process of its own: its output, and which heavy packages it imported."""
    command = [sys.executable, "-c", CODE.format(arguments=arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=True)
    output, _, imported = (done.stdout + done.stderr).partition("imported")
    return output + imported.partition("\n")[2], imported.partition("\n")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], "train"),
        (["train", "--help"], "--window"),
        (["compare", "--help"], "--models"),
        (["train", "missing.csv", "--out", "run"], "no such file"),
        (["compare", "missing.csv", "--out", "table"], "no such file"),
        (["train", "metrla", "--out", "run"], "did you mean metr-la?"),
        (["train", "broken.csv", "--out", "run", "--epochs", "0"], "expected epochs"),
        (["train"], "expected data, or --resume RUN"),
        (["info", "nowhere"], "expected the folder of a run"),
        (["evaluate", "nowhere"], "expected the folder of a run"),
        (["forecast", "nowhere", "--out", "f.csv"], "expected the folder of a run"),
        (["train", "--resume", "nowhere"], "expected the folder of a run"),
    ],
    ids=str,
)
def test_help_and_errors_of_the_input_come_without_heavy_imports(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.csv").write_text("time,a\n2024-01-01,many\n2024-01-02,3\n", encoding="utf-8")
    output, imported = answer(arguments, tmp_path)
    assert words in output
    assert not imported.split()


def test_a_broken_file_is_reported_without_torch(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("time,a\n2024-01-01,many\n2024-01-02,3\n", encoding="utf-8")
    output, imported = answer(["train", "broken.csv", "--out", "run"], tmp_path)
    assert "exit code 2" in output
    assert "'many'" in output
    assert set(imported.split()) == {"pandas", "pyarrow"}
