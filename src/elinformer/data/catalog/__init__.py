"""The catalogue: public data sets by name, and how to get one as a panel.

Importing it loads neither pandas nor pooch, so that listing it is quick.
"""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer.data.catalog.entries import ENTRIES
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from elinformer.data.catalog.entries import Dataset
    from elinformer.data.catalog.fetch import Progress
    from elinformer.data.panel import Panel

CATALOG = {dataset.name: dataset for dataset in ENTRIES}
EMBEDDED = Path(__file__).parent / "embedded"


def find_dataset(name: str) -> Dataset:
    """The entry called `name`, in capitals or not.

    Raises:
        InputError: There is none, with the names that are near.
    """
    if name.lower() in CATALOG:
        return CATALOG[name.lower()]
    near = get_close_matches(name.lower(), CATALOG, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"expected a data set of the catalogue, got {name!r}: {hint}there are {', '.join(CATALOG)}")


def load_dataset(name: str, *, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Panel:
    """The data set called `name` as a panel, fetched first where it is not in the cache yet.

    Args:
        name: A name of the catalogue.
        cache_dir: Where data sets are kept, in place of the environment variable ELINFORMER_CACHE and of the
            user's cache folder.
        progress: Called while fetching with a file's name, its bytes so far and its bytes in all (None where
            the server does not say).

    Raises:
        InputError: No such data set, or it could not be fetched, or what came is not the data set.
    """
    return read_dataset(find_dataset(name), cache_dir, progress)


def read_dataset(dataset: Dataset, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Panel:
    """`load_dataset` for an entry, which need not be in the catalogue."""
    from elinformer.data.catalog.published import read_published

    with _files(dataset, cache_dir, progress) as files:
        return read_published(dataset, files)


def fetch_dataset(name: str, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch the data set called `name`, unless it is there already, and check that it is what it should be.

    Args:
        name: A name of the catalogue.
        cache_dir: Where data sets are kept, in place of the environment variable ELINFORMER_CACHE and of the
            user's cache folder.
        progress: Called with a file's name, its bytes so far and its bytes in all (None where the server
            does not say).

    Returns:
        The folder that holds its files.

    Raises:
        InputError: No such data set, or it could not be fetched, or what came is not the data set.
    """
    from elinformer.data.catalog.fetch import cache_folder

    dataset = find_dataset(name)
    read_dataset(dataset, cache_dir, progress)
    return EMBEDDED if dataset.embedded else cache_folder(dataset, cache_dir)


def convert_dataset(
    name: str,
    folder: str | Path,
    *,
    cache_dir: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Panel:
    """Write the data set called `name` to a folder, and open it from there; LargeST a piece at a time.

    Args:
        name: A name of the catalogue.
        folder: Where the panel goes.
        cache_dir: As in `load_dataset`.
        overwrite: Whether a panel that stands in `folder` may be replaced.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: As `load_dataset`, or the folder cannot be written to.
    """
    from elinformer.data.catalog.published import convert_published
    from elinformer.data.io.folder import check_panel_folder

    check_panel_folder(folder, overwrite=overwrite)  # before anything is fetched
    dataset = find_dataset(name)
    with _files(dataset, cache_dir) as files:
        return convert_published(dataset, files, folder, overwrite=overwrite, progress=progress)


def refuse_options(dataset: str, options: Mapping[str, object]) -> None:
    """Refuse options of reading, since the catalogue says how a data set is read.

    Raises:
        InputError: An option is not None.
    """
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise InputError(f"expected no {' or '.join(given)} for {dataset}: the catalogue says how its sets are read")


@contextmanager
def _files(dataset: Dataset, cache_dir: str | Path | None, progress: Progress | None = None) -> Generator[Path]:
    """The folder of the files of a data set, fetched where they are not there; the body may refuse them."""
    from elinformer.data.catalog.fetch import cache_folder, fetched

    if dataset.embedded:
        yield EMBEDDED
        return
    folder = cache_folder(dataset, cache_dir)
    with fetched(dataset, folder, progress):
        yield folder
