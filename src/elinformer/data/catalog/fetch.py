"""Fetch the files of data sets into a cache: downloads resume, and every file is checked."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from elinformer._files import write_json
from elinformer._quiet import quiet
from elinformer.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from requests import Response

    from elinformer.data.catalog.entries import Dataset, RemoteFile

    Progress = Callable[[str, int, int | None], None]

CACHE_VARIABLE = "ELINFORMER_CACHE"
CHECKSUMS = "checksums.json"
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two blocks
BLOCK_BYTES = 2**14  # a cut connection loses at most one block


def cache_folder(dataset: Dataset, cache_dir: str | Path | None = None) -> Path:
    """Return the folder for the files of `dataset`, which need not exist.

    Raises:
        MissingExtraError: The packages that fetch files are not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError(
            'data sets of the catalogue need an extra: pip install "elinformer[catalog]"'
        ) from error
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE) or pooch.os_cache("elinformer")
    return Path(chosen).expanduser() / (dataset.folder or dataset.name)


@contextmanager
def fetch_files(dataset: Dataset, folder: Path, progress: Progress | None = None) -> Generator[None]:
    """Fetch the missing files of a data set, and keep them if the body of `with` reads them without an InputError.

    If the body raises one, the new files are removed. A checksum that no source states is recorded after the first use
    and checked from then on.

    Raises:
        InputError: A file cannot be fetched or has to be placed by hand, or the body raised one.
    """
    recorded = _read_checksums(folder)
    missing = [file for file in dataset.files if not (folder / file.name).is_file()]
    _check_by_hand(dataset, missing, folder)
    for file in dataset.files:
        if file.urls:
            _fetch_file(dataset, file, file.checksum or recorded.get(file.name), folder, progress)
    try:
        yield
    except InputError as error:
        for file in missing:
            (folder / file.name).unlink()
        if not missing:
            raise
        names = " and ".join(file.name for file in missing)
        raise InputError(
            f"expected {dataset.name} as it was published, got another {names} (removed): {error}"
        ) from error
    _record_checksums(dataset, folder, recorded)


def _read_checksums(folder: Path) -> dict[str, str]:
    from elinformer.data.io.folder import read_meta

    path = folder / CHECKSUMS
    try:
        recorded = read_meta(path)
    except InputError as error:
        raise InputError(f"{error}: remove it from {folder}") from error
    if not all(isinstance(checksum, str) for checksum in recorded.values()):
        raise InputError(f"expected a checksum for each file in {path}, got something else: remove it")
    return recorded


def _record_checksums(dataset: Dataset, folder: Path, recorded: dict[str, str]) -> None:
    import pooch

    new = [file for file in dataset.files if file.urls and not file.checksum and file.name not in recorded]
    if new:
        recorded = recorded | {file.name: f"sha256:{pooch.file_hash(folder / file.name)}" for file in new}
        write_json(folder / CHECKSUMS, recorded)


def _check_by_hand(dataset: Dataset, missing: list[RemoteFile], folder: Path) -> None:
    by_hand = [file.name for file in missing if not file.urls]
    if by_hand:
        raise InputError(
            f"expected {' and '.join(by_hand)} in {folder}, which cannot be fetched without a login: download from "
            f"{dataset.source} and put what you got there"
        )


def _fetch_file(
    dataset: Dataset, file: RemoteFile, checksum: str | None, folder: Path, progress: Progress | None
) -> None:
    """Put the file with the right checksum into the folder, from the first address that works."""
    failures: list[str] = []
    for url in file.urls:
        try:
            _retrieve(url, folder / file.name, checksum, progress)
        except InputError as error:
            failures.append(str(error))
        else:
            return
    raise InputError(
        f"{', and '.join(failures)}; or get it by hand from {dataset.source} and put it there as {folder / file.name}"
    )


def _retrieve(url: str, target: Path, checksum: str | None, progress: Progress | None) -> None:
    import pooch

    part = target.with_name(f"{target.name}.part")

    def download(url: str, output: str, _pooch: object) -> None:
        _download(url, part, target.name, progress)
        part.replace(output)

    downloader = cast("Any", download)  # pooch types it as a processor, which it is not
    try:
        with quiet(pooch.get_logger(), below=logging.WARNING):
            pooch.retrieve(url, checksum, fname=target.name, path=target.parent, downloader=downloader)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"expected {target.name} with the checksum {checksum}, got another file from {url} (removed): it was "
            "damaged on the way or has changed there, so fetch it again"
        ) from error
    except OSError as error:
        raise InputError(
            f"expected to write into {target.parent}, got {error}: name another folder in {CACHE_VARIABLE}"
        ) from error


def _download(url: str, part: Path, name: str, progress: Progress | None) -> None:
    """Download `url` to the file `part`; resume if the file holds the beginning."""
    import requests

    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise InputError(_unreachable_message(url, error)) from error
    with response:
        span = response.headers.get("Content-Range", "")
        if response.status_code == requests.codes.requested_range_not_satisfiable and span == f"bytes */{have}":
            return  # the download was complete, but not moved into place
        resumed = response.status_code == requests.codes.partial_content and span.startswith(f"bytes {have}-")
        if have and not resumed and response.status_code in {206, 416}:
            part.unlink()  # the beginning of another file
            _download(url, part, name, progress)
            return
        if not response.ok:
            raise InputError(
                f"expected {name} at {url}, got HTTP status {response.status_code} ({response.reason}): "
                "the address is dead or its server is out of order"
            )
        _write(response, part, have if resumed else 0, name, progress)


def _write(response: Response, part: Path, have: int, name: str, progress: Progress | None) -> None:
    """Append the response to the `have` bytes of `part`.

    Raises:
        InputError: The connection ended too early.
    """
    import requests

    length = response.headers.get("Content-Length")
    total = None if length is None else have + int(length)
    cut: Exception | None = None
    with part.open("ab" if have else "wb") as file:
        try:
            for block in response.iter_content(BLOCK_BYTES):
                have += file.write(block)
                if progress is not None:
                    progress(name, have, total)
        except requests.RequestException as error:
            cut = error
    if cut is not None or total not in {None, have}:  # urllib3 before 2.0 ends a short answer without an error
        raise InputError(
            f"expected {'all' if total is None else total} bytes of {name} from {response.url}, got {have} before the "
            "connection ended: fetch it again to resume"
        ) from cut


def _unreachable_message(url: str, error: Exception) -> str:
    """Return the message for a server that did not answer."""
    host = urlsplit(url).netloc
    if _has_cause(error, socket.gaierror):
        return f"could not find the server {host}: check that this machine is connected to the network"
    if _has_cause(error, ConnectionRefusedError):
        return f"the server {host} refused the connection to {url}: it is out of order or the address is dead"
    return f"could not reach {url} ({type(error).__name__}): check the network connection and try again"


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Return whether an error, or one that caused it, is of a kind."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None
