"""Addresses of data: a name of the catalogue, or the path of a file or folder."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer.data.catalog import CATALOG, load_dataset, refuse_options
from elinformer.errors import InputError

if TYPE_CHECKING:
    from elinformer.data.panel import Panel


def load_panel(
    address: str,
    *,
    null_value: float | None = None,
    start: str | None = None,
    freq: str | None = None,
    steps_per_day: int | None = None,
    step: str | None = None,
) -> Panel:
    """Read the data set of the catalogue, or the file or folder, at `address`; options as in `read_panel`.

    Data that have times are put on the step `step`, unless `freq` is given.

    Raises:
        InputError: Nothing is there, or it is no panel.
    """
    if is_in_catalogue(address):
        options = {"null_value": null_value, "start": start, "freq": freq, "steps_per_day": steps_per_day}
        refuse_options(address, options)
        return load_dataset(address)
    check_address(address)
    from elinformer.data.io.read import read_panel

    return read_panel(address, null_value=null_value, start=start, freq=freq, steps_per_day=steps_per_day, step=step)


def is_in_catalogue(address: str) -> bool:
    """Tell whether the address is a name of the catalogue, in capitals or not."""
    return address.lower() in CATALOG


def check_address(address: str) -> None:
    """Refuse an address at which there is nothing.

    Raises:
        InputError: A path without a file, or a name that the catalogue does not have.
    """
    if is_in_catalogue(address):
        return
    try:
        path = Path(address).expanduser()
        if path.exists():
            return
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, no such user, a NUL in the path
        raise InputError(f"expected a path that can be read, got {address[:200]!r} ({error}): check it") from error
    if path.suffix or len(path.parts) > 1 or address.endswith("/"):
        raise InputError(f"expected data at {address}, but there is no such file or folder: check the path")
    near = get_close_matches(address.lower(), CATALOG, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(
        f"expected data, but {address!r} is neither a file nor a data set of the catalogue: {hint}`elinformer "
        "datasets` lists the names"
    )


def whole_address(address: str) -> str:
    """Return the name of a data set in small letters, or the absolute path of a file, which every folder can use."""
    return address.lower() if is_in_catalogue(address) else str(Path(address).expanduser().resolve())
