"""Dialects of CSV: separator, decimal comma, comments above the header, and the names of the columns."""

from __future__ import annotations

import csv
import itertools
import re
from typing import IO, TYPE_CHECKING, NamedTuple

from elinformer.data.io.packed import looks_like_time
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
MAX_LINE = 1 << 26
"""Characters of a line that are read at most."""
SAMPLE_ROWS, SAMPLE_CELLS = 20, 1 << 18
"""Rows and cells below the header by which the dialect is known, at most."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
TIME = re.compile(r"\d{4}[-/]\d{1,2}([-/T ][\d :.TZ+-]*)?")


class Dialect(NamedTuple):
    """Way in which a CSV file is written.

    Attributes:
        names: Names of the columns without spaces around them.
        rows: Cells of some rows below the header.
        sep: Separator of the columns.
        decimal: Point or comma before the decimals of a number.
        skipped: Lines above the header.
        spaced: Whether there are spaces around cells.
        notes: What was guessed, in words.
    """

    names: list[str]
    rows: list[list[str]]
    sep: str
    decimal: str
    skipped: int
    spaced: bool
    notes: list[str]


def read_dialect(path: Path, sep: str | None = None, decimal: str | None = None) -> Dialect:
    """Return the dialect of a CSV file by its first lines.

    Args:
        path: The file.
        sep: Separator, if it is known.
        decimal: "." or ",", if it is known.

    Raises:
        InputError: The file is no text in UTF-8, has no header or an endless line, or an argument is no separator.
    """
    if decimal not in {None, ".", ","}:
        raise InputError(f"expected a point or a comma before decimals, got decimal={decimal!r}: pass one of them")
    if sep is not None:
        _check_separator(sep)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            skipped, named, first = _skip_comments(file)
            lines = [first, *itertools.islice(_lines(file), SAMPLE_ROWS)] if first else []
    except UnicodeDecodeError as error:
        raise InputError(f"expected a CSV file as text in UTF-8, got something else ({error})") from error
    if not lines or not lines[0].strip():
        raise InputError("expected a header in the first line, got an empty line: name the columns there")
    notes: list[str] = []
    if sep is None:
        sep = named or _guess_separator(lines)
        notes += [] if sep == "," else [f"columns end at {SEPARATORS.get(sep, repr(sep))}"]
    _check_one_line(lines, sep)
    header, *rows = _cells(lines, sep)
    _check_header(header, comments=skipped)
    if skipped:
        notes.append(f"the header is line {skipped + 1}")
    spaced = any(cell != cell.strip() for row in (header, *rows) for cell in row)
    if decimal is None:
        decimal = "," if sep != "," and _has_decimal_commas(rows) else "."
        notes += [] if decimal == "." else ["decimals follow a comma"]
    return Dialect([name.strip() for name in header], rows, sep, decimal, skipped, spaced, notes)


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield lines.

    Raises:
        InputError: A line has no end within `MAX_LINE` characters.
    """
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith("\n"):
            raise InputError(
                f"expected lines of at most {MAX_LINE >> 20} MiB, got a longer one: write the table as Parquet, "
                "which has no such limit, or check that the file is a CSV file"
            )
        yield line


def _check_separator(sep: str) -> str:
    """Return a separator, if columns can end at it.

    Raises:
        InputError: It is no single character, or one that readers of CSV cannot use.
    """
    if len(sep) != 1 or not sep.isascii() or sep in '"\r\n\0':
        raise InputError(f"expected one character of ASCII as the separator, such as ';', got sep={sep!r}")
    return sep


def _skip_comments(file: IO[str]) -> tuple[int, str | None, str]:
    """Return the lines above the header, the separator that Excel names there, and the header."""
    sep = None
    for number, line in enumerate(_lines(file)):
        excel = re.fullmatch(r"sep=(.)\s*", line)
        if excel is not None:
            sep = _check_separator(excel[1])
        elif not line.startswith("#"):
            return number, sep, line
    return 0, sep, ""


def _cells(lines: Sequence[str], sep: str) -> list[list[str]]:
    """Return the cells of lines, of some of them if they are long."""
    rows: list[list[str]] = []
    try:
        csv.field_size_limit(MAX_LINE)
        for row in csv.reader(lines, delimiter=sep):
            if row:
                rows.append(row)
            if sum(map(len, rows)) > SAMPLE_CELLS and len(rows) > 2:
                break
    except csv.Error as error:
        raise InputError(f"expected a CSV file, got something else ({error})") from error
    return rows or [[""]]


def _check_one_line(lines: Sequence[str], sep: str) -> None:
    """Refuse a header of several lines.

    Raises:
        InputError: A name has a line break within its quotes.
    """
    reader = csv.reader(lines, delimiter=sep)
    try:
        next(reader)
    except csv.Error:  # explained where the cells are read
        return
    if reader.line_num > 1:
        raise InputError(
            f"expected a header of one line, got a quote that does not end there ({lines[0].strip()[-60:]!r}): take "
            "line breaks out of the names, or write the table as Parquet"
        )


def _guess_separator(lines: Sequence[str]) -> str:
    """Return the separator that gives all lines as many cells as the header.

    If there are several, it is the one of the most cells, and then of the most that are times or numbers.
    """
    candidates = [sep for sep in SEPARATORS if sep in lines[0]]
    if len(candidates) < 2:
        return next(iter(candidates), ",")
    cells = {sep: _cells(lines, sep) for sep in candidates}
    even = [sep for sep in candidates if len({len(row) for row in cells[sep]}) == 1]
    whole = [sep for sep in even if not any('"' in cell for row in cells[sep] for cell in row)]  # else cut in a quote
    return max(whole or even or candidates[:1], key=lambda sep: (len(cells[sep][0]), _count_data(cells[sep][1:])))


def _count_data(rows: Sequence[Sequence[str]]) -> int:
    """Return how many cells are times or numbers as a whole."""
    return sum(TIME.fullmatch(cell.strip()) is not None or _is_number(cell.strip()) for row in rows for cell in row)


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None or COMMA_NUMBER.fullmatch(cell) is not None


def _has_decimal_commas(rows: Sequence[Sequence[str]]) -> bool:
    cells = [cell.strip() for row in rows for cell in row]
    return any(map(COMMA_NUMBER.fullmatch, cells)) and not any(map(POINT_NUMBER.fullmatch, cells))


def _check_header(header: Sequence[str], *, comments: int) -> None:
    """Refuse a first line that is no header.

    Raises:
        InputError: It is a line of data, or has the times in it.
    """
    cells = [cell.strip() for cell in header]
    numbers = [_is_number(cell) for cell in cells]
    times = [looks_like_time(cell) for cell in cells]
    if len(cells) > 2 and all(times[1:]) and not (times[0] or numbers[0]):
        raise InputError(
            f"expected a row for each time, got the times in the header ({cells[1]!r}, ...): transpose the table"
        )
    data = [number or time for number, time in zip(numbers, times, strict=True)]
    if all(data) or times[0] or (any(times) and any(numbers)):
        remedy = "take the # away from the line of names above it" if comments else "add a line of names"
        raise InputError(
            f"expected a header in the first line, got what looks like data ({', '.join(cells)[:60]!r}): {remedy}"
        )
