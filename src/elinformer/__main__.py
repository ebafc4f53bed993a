"""The command: `elinformer`, or `python -m elinformer`."""

import os
import sys
from io import TextIOWrapper

from elinformer._allocator import keep_freed_memory
from elinformer.errors import InputError, MissingExtraError


def main() -> None:
    """Run the command line; an error of the input is one sentence and exit code 2."""
    # Threads of GNU OpenMP that wait for each other spin for milliseconds, which costs a multiple of the time where
    # other programs want the cores too. A tenth of a millisecond costs nothing on cores of one's own.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # letters that the console's encoding does not have
    from elinformer.cli import app

    try:
        app()
    except (InputError, MissingExtraError) as error:
        sys.exit(_report(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_report("interrupted", 130))


def _report(message: str, code: int) -> int:
    rank = int(os.environ.get("RANK", "0"))  # of processes that torchrun started
    print(f"rank {rank}: {message}" if rank else message, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
