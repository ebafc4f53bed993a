"""Errors of the user's input and installation. Any other exception is a fault of the library."""


class InputError(ValueError):
    """Input that cannot be used. The message says what was expected, what was passed, and how to correct it.

    The command line prints only the message, and exits with code 2. For any other exception it shows the traceback.
    """


class MissingExtraError(ImportError):
    """Optional dependency that is needed and not installed. The message names the extra that installs it."""
