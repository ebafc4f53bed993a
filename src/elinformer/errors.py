"""The one error that means: the input, not the library, is wrong."""


class InputError(ValueError):
    """Input that cannot be used: names what was expected, what came and how to mend it.

    The command line prints the message alone and exits with code 2; anything else that is raised is a
    fault of the library and keeps its traceback.
    """


class MissingExtraError(ImportError):
    """An optional dependency is needed and not installed; the message names the extra that brings it."""
