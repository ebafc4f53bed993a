"""Addresses of data: a name of the catalogue, or the path of a file or folder."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.data.catalog import CATALOG, load_dataset, refuse_options
from elinformer.errors import InputError

if TYPE_CHECKING:
    from elinformer.data.panel import Panel


def load_panel(address: str, **options: Any) -> Panel:
    """Read the data set of the catalogue, or the file or folder, at `address`.

    Args:
        address: Name of the catalogue, or path.
        options: Options as in `read_panel`; one that is None or empty was not given.

    Data that have times are put on the step `step`, unless `freq` is given.

    Raises:
        InputError: Nothing is there, or it is no panel.
    """
    if is_in_catalogue(address):
        from elinformer.data.io.read import roles_of

        roles = roles_of(
            *(options.pop(name, default) for name, default in (("future", ()), ("past", ()), ("static", None)))
        )
        refuse_options(
            address, {name: None if value == () else value for name, value in options.items() if name != "step"}
        )
        return roles.assign(load_dataset(address))
    check_address(address)
    from elinformer.data.io.read import read_panel

    return read_panel(address, **options)


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
    return address.lower() if is_in_catalogue(address) else str(_expanded(address).resolve())


def portable_address(address: str, folder: str | Path) -> str:
    """Return an address for a file of `folder`, which holds if both are moved together, and names no user.

    A path is relative to the folder if the two lie in a common folder, else to the home ("~"), else absolute. If it
    would still name a user, only its last part is kept, and the place of the data has to be told again.
    """
    if is_in_catalogue(address):
        return address.lower()
    path, base, home = Path(whole_address(address)), Path(folder).resolve(), _home()
    homes = None if home is None or home.parent == Path(home.anchor) else home.parent
    common = next((parent for parent in (path, *path.parents) if parent == base or parent in base.parents), None)
    found: list[Path] = []
    enters_homes = (
        homes is not None
        and path.is_relative_to(homes)
        and common is not None
        and common
        in {
            homes,
            *homes.parents,
        }
    )
    if common is not None and common != Path(common.anchor) and not enters_homes:
        found.append(Path(os.path.relpath(path, base)))
    if home is not None and path.is_relative_to(home):
        found.append(Path("~") / path.relative_to(home))
    elif homes is None or not path.is_relative_to(homes):
        found.append(path)
    names = {os.environ.get(variable) for variable in ("USER", "LOGNAME", "USERNAME")} | {home and home.name}
    chosen = next((each for each in found if not names & {*each.parts}), Path(path.name)).as_posix()
    return chosen if chosen.startswith((".", "~")) or Path(chosen).is_absolute() else f"./{chosen}"


def address_from(stored: str, folder: str | Path) -> str:
    """Return the address that `portable_address` stored in a file of `folder`, for this process."""
    return stored if is_in_catalogue(stored) else str((Path(folder).resolve() / _expanded(stored)).resolve())


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # a user without one
        return None


def _expanded(address: str) -> Path:
    try:
        return Path(address).expanduser()
    except RuntimeError as error:
        raise InputError(f"expected a path, got {address!r} of a user without a home: write the whole path") from error
