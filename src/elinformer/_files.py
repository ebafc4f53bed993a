"""Atomic files and folders: they are written under a temporary name, and then renamed. JSON in files."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

MAX_JSON = 1 << 28
"""Largest size of a JSON file in bytes, enough for the names of ten million series."""


@contextmanager
def new_file(path: str | Path) -> Generator[Path]:
    """Yield a temporary path beside `path`, with the same suffix. It is renamed to `path` if the block succeeds.

    Raises:
        InputError: The folder cannot be created, or the file cannot be written.
    """
    target = Path(path).resolve()  # "." has no name
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"expected to be able to write {target}, but {error.strerror or error}") from error
    finally:
        if temporary.exists():
            temporary.unlink()


@contextmanager
def new_folder(path: str | Path) -> Generator[Path]:
    """Yield a temporary folder beside `path`. It replaces the folder at `path` if the block succeeds.

    `check_folder` checks beforehand whether the folder at `path` can be replaced.

    Raises:
        InputError: The folder cannot be created or replaced.
    """
    target = Path(path).resolve()
    temporary, old = (target.with_name(f".{target.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process with the same number
        temporary.mkdir(parents=True)
        yield temporary
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        temporary.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        raise InputError(f"expected to be able to write the folder {target}, but {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk, so that it survives a power cut once it is renamed."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON >> 20} MiB")  # noqa: TRY301 - as every other reason
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {path}, but it cannot be read ({error})") from error
    if not isinstance(document, dict):
        raise InputError(f"expected a JSON object in {path}, got a {type(document).__name__}")
    return document


def write_json(path: str | Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with new_file(path) as new:
        write_durably(new, json_bytes(document))


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Return the content of a JSON file.

    Raises:
        ValueError: The document holds a NaN or an infinite number.
        TypeError: It holds something that JSON has no type for.
    """
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


@contextmanager
def held_folder(path: str | Path, *, refusal: str | None = None) -> Generator[None]:
    """Lock a folder for this thread within a context, which may hold it already.

    The system releases the lock of a killed process. A folder that is renamed keeps its lock, and a folder that took
    its place meanwhile is locked instead. The function does nothing on systems without such locks.

    Args:
        path: The folder.
        refusal: Message if another process holds the lock; None = the default message.

    Raises:
        InputError: Another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    default = f"expected a folder that no other process writes to, but one writes to {path}: wait until it ends"
    handle = os.open(path, os.O_RDONLY)
    while (key := _identity(os.fstat(handle))) not in _HELD:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise InputError(refusal or default) from error
        except OSError:  # a file system without locks
            break
        if _identity(Path(path).stat()) == key:
            break
        os.close(handle)  # replaced between the two calls
        handle = os.open(path, os.O_RDONLY)
    _HELD[key] = _HELD.get(key, 0) + 1
    try:
        yield
    finally:
        _HELD[key] -= 1
        if not _HELD[key]:
            del _HELD[key]
        os.close(handle)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return threading.get_ident(), status.st_dev, status.st_ino


_HELD: dict[tuple[int, int, int], int] = {}
"""Folders that are locked, by thread, device and inode: how many contexts hold each."""


@contextmanager
def made_folder(path: str | Path) -> Generator[None]:
    """Create a folder and those above it for a context; at its end, remove those of them that are still empty.

    Raises:
        InputError: A folder cannot be created.
    """
    target = Path(path).resolve()
    new = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"expected to be able to write the folder {target}, but {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # not empty
            for folder in new:
                folder.rmdir()


def check_folder(path: str | Path, *, overwrite: bool, mark: str, kind: str = "a run") -> None:
    """Refuse a path that a folder cannot be written to.

    Args:
        path: Path of the new folder.
        overwrite: True allows to replace a folder of the same kind.
        mark: Name of a file that every folder of this kind has. Other folders are never replaced.
        kind: Noun for the content of such a folder, for the message.

    Raises:
        InputError: The path is a file, a folder that is not empty and cannot be replaced, or cannot be written.
    """
    target = Path(path)
    nearest = _nearest(target)
    if target.exists() and not target.is_dir():
        raise InputError(f"expected a folder to write to, got the file {target}: choose another name")
    _check_writable(target, nearest)
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / mark).is_file():
        raise InputError(f"expected an empty folder, but {target} holds other files: choose another name")
    if not overwrite:
        raise InputError(
            f"expected an empty folder, but {target} holds {kind}: choose another name or pass --overwrite"
        )


def _nearest(target: Path) -> Path:
    """Return the path, or the nearest folder above it that there is."""
    try:
        return next(path for path in (target.resolve(), *target.resolve().parents) if path.exists())
    except (OSError, ValueError) as error:  # a name too long, a NUL in the path
        raise InputError(f"expected a path that can be written, got {str(target)[:200]!r} ({error})") from error


def _check_writable(target: Path, nearest: Path) -> None:
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(f"expected to be able to write {target}, but {nearest} is not a folder with write access")
