"""Files and folders that are whole or not there: written under a temporary name and moved into place."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def new_file(path: str | Path) -> Generator[Path]:
    """A temporary path beside `path`, with its suffix, that becomes `path` when the block ends well.

    Raises:
        InputError: The folder cannot be made, or the file cannot be written there.
    """
    target = Path(path).resolve()  # "." has no name to put a temporary one beside
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
    """A temporary folder beside `path` that takes its place when the block ends well.

    What stood at `path` goes only then; `check_folder` says before whether it may.
    """
    target = Path(path).resolve()
    temporary, old = (target.with_name(f".{target.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process of the same number that was killed
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
    """Write a file so that a power cut after this, when it has been moved into place, finds all of it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def held_folder(path: str | Path, *, refusal: str | None = None) -> Generator[None]:
    """Keep other processes from holding the same folder; one that is killed lets go of it.

    Where the system knows no such locks, nothing is kept.

    Args:
        path: The folder.
        refusal: What to say where another process holds it, instead of the usual.

    Raises:
        InputError: Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            usual = f"expected a folder that no other process writes to, but one is at work in {path}: wait until it "
            raise InputError(refusal or f"{usual}has ended, or end it") from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def check_folder(path: str | Path, *, overwrite: bool, mark: str, kind: str = "a run") -> None:
    """Refuse to write to `path` where something else stands.

    Args:
        path: The folder that will be written.
        overwrite: Whether a folder of the same kind may be replaced.
        mark: A file that every folder of this kind has; others are never replaced.
        kind: What such a folder holds.

    Raises:
        InputError: It is a file, or a folder with something in it that may not go.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise InputError(f"expected a folder to write to, got the file {target}: choose another name")
    _check_writable(target)
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / mark).is_file():
        raise InputError(f"expected an empty folder, but {target} holds other files: choose another name")
    if not overwrite:
        raise InputError(
            f"expected an empty folder, but {target} holds {kind}: choose another name or pass --overwrite"
        )


def _check_writable(target: Path) -> None:
    nearest = next(path for path in (target.resolve(), *target.resolve().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(f"expected to be able to write {target}, but {nearest} is no folder one may write to")
