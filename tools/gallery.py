"""Run the examples of the gallery, and write code, output and pictures into their pages.

    python tools/gallery.py --data FOLDER [NAME ...]

An example is docs/gallery/NAME.py, its page NAME.md. The folder has the files that examples read. It may also have
copies of data sets of the catalogue as npz, which are then used in place of the published files.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import re
import runpy
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import torch

import elinformer

GALLERY = Path(__file__).resolve().parents[1] / "docs" / "gallery"
COPIES = {
    "metr-la": "metr_la_week1.npz",
    "hangzhou-metro": "hangzhou_metro.npz",
    "irish-weather": "irish_weather.npz",
    "nyc-taxi": "nyc_taxi_od.npz",
}
CODE = re.compile(r"^```python\n.*?^```$", re.DOTALL | re.MULTILINE)
OUTPUT = re.compile(r"^```text\n.*?^```$", re.DOTALL | re.MULTILINE)
MADE = re.compile(r"^\*Made on .*\*$", re.MULTILINE)


def examples() -> list[Path]:
    """Return the scripts of the gallery."""
    return sorted(GALLERY.glob("*.py"))


def code_of(script: Path) -> str:
    """Return the code of an example without its docstring."""
    source = script.read_text(encoding="utf-8")
    return "\n".join(source.splitlines()[ast.parse(source).body[0].end_lineno :]).strip()


def run_example(script: Path, data: Path, folder: Path) -> str:
    """Run an example in a folder, which gets its pictures and links to the data, and return what it printed."""
    for file in data.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    load = elinformer.load_dataset

    def load_copy(name: str) -> elinformer.Panel:
        copy = folder / COPIES.get(name, name)
        return elinformer.read_panel(copy) if copy.is_file() else load(name)

    printed = io.StringIO()
    elinformer.load_dataset = load_copy
    torch.manual_seed(0)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        elinformer.load_dataset = load
    return printed.getvalue().rstrip()


def page_with(page: str, code: str, output: str, made: str) -> str:
    """Return the text of a page with other code, output and note."""
    for pattern, text in (
        (CODE, f"```python\n{code}\n```"),
        (OUTPUT, f"```text\n{output}\n```"),
        (MADE, f"*Made on {made}*"),
    ):
        page, found = pattern.subn(lambda _, text=text: text, page, count=1)
        if not found:
            raise ValueError(f"expected a place for {text.split(maxsplit=1)[0]} in the page")
    return page


def _threads() -> str:
    count = torch.get_num_threads()
    return "one thread" if count == 1 else f"{count} threads"


def main() -> None:
    """Run the examples that are named, or all."""
    parser = argparse.ArgumentParser(prog="python tools/gallery.py", description="Run the examples of the gallery")
    parser.add_argument("names", nargs="*", help="examples; all by default")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    options = parser.parse_args()
    for script in examples():
        if options.names and script.stem not in options.names:
            continue
        with tempfile.TemporaryDirectory() as name:
            output = run_example(script, options.data, Path(name))
            for picture in [*Path(name).glob("*.svg"), *Path(name).glob("*.png")]:
                shutil.move(picture, GALLERY / picture.name)
        made = (
            f"{datetime.now(UTC):%Y-%m-%d} with elinformer {elinformer.__version__}, PyTorch {torch.__version__} and "
            f"{_threads()} of a CPU, by `python tools/gallery.py --data FOLDER {script.stem}`."
        )
        page = script.with_suffix(".md")
        text = page_with(page.read_text(encoding="utf-8"), code_of(script), output, made)
        page.write_text(text, encoding="utf-8")
        print(f"{script.stem}\n{output}")


if __name__ == "__main__":
    main()
