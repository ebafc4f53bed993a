"""What `results.json` keeps of every run, and the way back to the runs: the one file is enough to go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elinformer.comparison.plan import NAME
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elinformer.comparison.plan import Document

NOT_KEPT = ("settings", "source")
"""Settings are told again by the terms; where the data lay is of no use elsewhere."""
OF_A_RUN = ("absolute", "scaled")
"""Of the errors by blocks of time, what is the run's own."""


def task_of(run: Document) -> Document:
    """What stands once for all runs on the data of this one: the terms, and the blocks of time with their counts."""
    blocks = {name: value for name, value in run["blocks"].items() if name not in OF_A_RUN}
    return {**run["terms"], "blocks": {**blocks, "number": len(blocks["labels"])}}


def kept(run: Document, task: Document) -> Document:
    """A run without what `task`, of its data, has as well."""
    entry = _without(run, *NOT_KEPT, "fingerprint")
    if run["terms"] == _without(task, "blocks"):
        del entry["terms"]
    return {**entry, "blocks": {name: value for name, value in run["blocks"].items() if name in OF_A_RUN}}


def restored(results: Document) -> Iterator[Document]:
    """The runs that `results` was made of, as far as it keeps them.

    Raises:
        InputError: They are not whole, or name no place in a folder.
    """
    for entry in results["runs"]:
        _check_place(entry, results["data"])
        task = results["data"][entry["data"]]
        run = {"terms": _without(task, "blocks"), **entry}
        blocks = {**_without(task["blocks"], "number"), **entry["blocks"]}
        yield {**run, "fingerprint": run["terms"].get("fingerprint"), "blocks": blocks}


def _check_place(entry: Document, data: Document) -> None:
    """Files are named by what a run says of itself, which may come from anywhere."""
    names, seed = (entry.get("data"), entry.get("model")), entry.get("seed")
    named = all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
    whole = named and names[0] in data and entry.keys() >= {"blocks", "machine", "versions"}
    if not whole or not isinstance(seed, int) or seed < 0:
        raise InputError(
            "expected runs of a data set of this results.json, of a model by its name and of a seed of 0 or more, with "
            f"their errors by day, got {(*names, seed)!r}: the file was changed by something else"
        )


def _without(document: Document, *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
