"""Random inputs with fixed seeds, and the promise that every one of them is used or refused in one sentence.

By default a fuzzer tries a fixed number of inputs. `FUZZ_SECONDS=600 pytest tests/fuzz` tries new ones for ten minutes
a fuzzer; `FUZZ_SEED=1234` begins with that seed, which a failure names.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elinformer.errors import InputError

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
LONGEST = 20
"""Seconds of work that one input may take."""
WAIT = 120
"""Seconds that one input may take on a machine with other work, or while it waits for a file."""
MEMORY = 4 << 30
"""Bytes of address space that one small file may take beside what the process has; threads reserve much of it."""

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 10**6, 10**12, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308,
    "", "x", "1", "nan", "2024-01-01", "\0", "..", "/", "~", "é" * 300, [], [1], ["a"], [[1]], {}, {"a": 1}, {"": {}},
]  # fmt: skip
"""Values that a document should not have in most places."""


def tries(name: str, number: int) -> Iterator[random.Random]:
    """Yield random numbers for each input of a fuzzer; a failure names the seed."""
    end = time.monotonic() + SECONDS
    for seed in itertools.count(SEED):
        if (time.monotonic() > end) if SECONDS else (seed >= SEED + number):
            print(f"{name}: {seed - SEED:,} inputs, seeds from {SEED}")
            return
        try:
            yield random.Random(f"{name} {seed}")
        except GeneratorExit:
            print(f"FUZZ_SEED={seed}")
            raise


def used_or_refused(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result, or None where the input was refused in one sentence; anything else is an error of ours."""
    with time_limit():
        try:
            return function(*arguments)
        except InputError as error:
            sentence = str(error)
    assert sentence.isprintable(), sentence
    assert len(sentence) < 5000
    return None


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail if the block takes too long; does nothing where there are no alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def late(*_: Any) -> None:
        raise AssertionError(f"no end after {LONGEST} seconds of work, or {WAIT} of waiting")

    before = {number: signal.signal(number, late) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.alarm(WAIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def memory_limit() -> Iterator[None]:
    """Let allocations fail in the block that take far more memory than a small file may; on Linux alone."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def damaged_bytes(draw: random.Random, content: bytes) -> bytes:
    """Return bytes with a bit flipped, a part cut, doubled or overwritten, or something appended."""
    data, at = bytearray(content), draw.randrange(len(content) or 1)
    kind = draw.choice(["flip", "flip", "cut", "remove", "double", "overwrite", "append"])
    stop = at + draw.choice([1, 2, 8, 100])
    if kind == "flip" and data:
        data[at] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "remove":
        del data[at:stop]
    elif kind == "double":
        data[at:at] = data[at:stop]
    elif kind == "overwrite":
        data[at:stop] = draw.randbytes(stop - at)
    else:
        data += draw.choice([b"\0", b"\n", b"{}", draw.randbytes(30), bytes(5000)])
    return bytes(data)


def change_document(draw: random.Random, document: Any) -> None:
    """Replace, remove, rename or add one value somewhere in a document of JSON."""
    places = list(_places(document))
    place, key = draw.choice(places)
    kind = draw.choice(["replace"] * 5 + ["remove", "near", "near", "add"])
    if kind == "remove":
        del place[key]
    elif kind == "near" and isinstance(place[key], int | float) and not isinstance(place[key], bool):
        place[key] += draw.choice([-1, 1, 10**9, -(10**9), *([0.5] if abs(place[key]) < 1e300 else [])])
    elif kind == "near" and isinstance(place[key], list):
        place[key] = draw.choice([place[key][:-1], place[key] * 2, place[key][::-1]])
    elif kind == "add" and isinstance(place, dict):
        place[draw.choice(["", "x", "name", "window", "state", "\0"])] = copy.deepcopy(draw.choice(VALUES))
    else:
        place[key] = copy.deepcopy(draw.choice(VALUES))


def edit_document(draw: random.Random, path: Path) -> None:
    """Change one to three values of a JSON file."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if document:
            change_document(draw, document)
    path.write_text(json.dumps(document), encoding="utf-8")


def replace_file(draw: random.Random, path: Path, other: Path | None = None) -> None:
    """Remove a file, or put a pipe, a folder, or a link to itself, a device or an `other` file in its place."""
    path.unlink()
    kind = draw.choice(["nothing", "pipe", "folder", "ring", "device", "other"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "ring":
        path.symlink_to(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "other" and other is not None:
        path.symlink_to(other)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    for key in document if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list) and document[key]:
            yield from _places(document[key])
