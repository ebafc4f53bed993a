"""What `results.json` keeps of every run, and the way back to the runs: the one file is enough to go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elinformer.comparison.plan import Document

ONCE_FOR_ALL = ("terms", "fingerprint")
"""What all runs on a data set have alike."""
OF_THE_MACHINE = ("settings", "source")
"""Where the data lay, which is nobody's business, and the settings, which the terms repeat."""
OF_A_RUN = ("absolute", "scaled")
"""Of the errors by blocks of time, what is the run's own."""


def task_of(run: Document) -> Document:
    """What stands once for all runs on the data of this one: the terms, and the blocks of time with their counts."""
    blocks = {name: value for name, value in run["blocks"].items() if name not in OF_A_RUN}
    return {**run["terms"], "blocks": {**blocks, "number": len(blocks["labels"])}}


def kept(run: Document) -> Document:
    """A run without what `task_of` has, and without what is of the machine alone."""
    entry = {name: value for name, value in run.items() if name not in (*ONCE_FOR_ALL, *OF_THE_MACHINE)}
    return {**entry, "blocks": {name: value for name, value in run["blocks"].items() if name in OF_A_RUN}}


def restored(results: Document) -> Iterator[Document]:
    """The runs that `results` was made of, but for what is of the machine alone.

    Raises:
        InputError: They are of a version that did not keep errors by blocks of time.
    """
    for entry in results["runs"]:
        task = results["data"][entry["data"]]
        if not entry.keys() >= {"blocks", "machine", "versions"}:
            raise InputError(
                "expected the runs of this comparison beside its results.json, which is of an older version and does "
                "not have their errors by day: bring the folder `runs` back, or choose another --out"
            )
        terms, blocks = _without(task, "blocks"), _without(task["blocks"], "number")
        yield {
            **entry,
            "terms": terms,
            "fingerprint": terms["fingerprint"],
            "blocks": {**blocks, **entry["blocks"]},
        }


def _without(document: Document, name: str) -> Document:
    return {other: value for other, value in document.items() if other != name}
