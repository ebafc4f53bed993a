"""The command `elinformer`, also available as `python -m elinformer`."""

import os
import sys
from io import TextIOWrapper

from elinformer._allocator import keep_freed_memory
from elinformer._memory import explained_memory
from elinformer.errors import InputError, MissingExtraError


def main() -> None:
    """Run the command line. An error in the input is printed as one sentence, with exit code 2."""
    # Waiting threads of GNU OpenMP spin for milliseconds. If other programs need the cores, this multiplies the time of
    # a step. Spinning for a tenth of a millisecond costs nothing on idle cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # letters that the console's encoding does not have
    from elinformer.cli import app

    try:
        with explained_memory("this command", "end other programs, or give it a machine with more"):
            app()
    except (InputError, MissingExtraError) as error:
        sys.exit(_report(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_report("interrupted", 130))


def _report(message: str, code: int) -> int:
    rank = int(os.environ.get("RANK", "0"))  # set by torchrun
    print(f"rank {rank}: {message}" if rank else message, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
