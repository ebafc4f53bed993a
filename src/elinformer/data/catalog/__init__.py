"""Catalogue of public data sets: find, fetch, load and convert them by name.

Its import loads neither pandas nor pooch, so that listing it is quick.
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
    """Return the entry `name`, in capitals or not.

    Raises:
        InputError: There is none. The message has the names that are similar.
    """
    if name.lower() in CATALOG:
        return CATALOG[name.lower()]
    near = get_close_matches(name.lower(), CATALOG, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"expected a data set of the catalogue, got {name!r}: {hint}there are {', '.join(CATALOG)}")


def load_dataset(name: str, *, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Panel:
    """Load a data set as a panel. It is fetched first if it is not in the cache.

    Args:
        name: Name in the catalogue.
        cache_dir: Folder of the cache, instead of the environment variable ELINFORMER_CACHE and the cache folder of
            the user.
        progress: Called with the name of a file, its bytes so far and all its bytes (None if unknown).

    Raises:
        InputError: There is no such data set, it cannot be fetched, or the files are not those of the data set.
    """
    return read_dataset(find_dataset(name), cache_dir, progress)


def read_dataset(dataset: Dataset, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Panel:
    """Load the data set of an entry, which need not be in the catalogue; see `load_dataset`."""
    from elinformer.data.catalog.published import read_published

    with _dataset_files(dataset, cache_dir, progress) as files:
        return read_published(dataset, files)


def fetch_dataset(name: str, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch a data set unless it is in the cache, and check its files.

    Args:
        name: Name in the catalogue.
        cache_dir: As in `load_dataset`.
        progress: As in `load_dataset`.

    Returns:
        Folder with its files.

    Raises:
        InputError: As in `load_dataset`.
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
    """Write the panel of a data set to a folder and open it from there. LargeST is written a piece at a time.

    Args:
        name: Name in the catalogue.
        folder: Folder that is made.
        cache_dir: As in `load_dataset`.
        overwrite: Replace a panel that is in `folder`.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: As in `load_dataset`, or the folder cannot be written.
    """
    from elinformer.data.catalog.published import convert_published
    from elinformer.data.io.folder import check_panel_folder

    check_panel_folder(folder, overwrite=overwrite)  # before anything is fetched
    dataset = find_dataset(name)
    with _dataset_files(dataset, cache_dir) as files:
        return convert_published(dataset, files, folder, overwrite=overwrite, progress=progress)


def refuse_options(dataset: str, options: Mapping[str, object]) -> None:
    """Refuse options of reading, since the catalogue says how a data set is read.

    Raises:
        InputError: An option is neither None nor empty.
    """
    given = [option for option, value in options.items() if value not in (None, (), [])]
    if given:
        raise InputError(f"expected no {' or '.join(given)} for {dataset}: the catalogue says how its sets are read")


@contextmanager
def _dataset_files(dataset: Dataset, cache_dir: str | Path | None, progress: Progress | None = None) -> Generator[Path]:
    """Yield the folder with the files of a data set, which are fetched if absent; see `fetch_files`."""
    from elinformer.data.catalog.fetch import cache_folder, fetch_files

    if dataset.embedded:
        yield EMBEDDED
        return
    folder = cache_folder(dataset, cache_dir)
    with fetch_files(dataset, folder, progress):
        yield folder
