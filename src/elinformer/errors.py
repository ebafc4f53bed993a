"""Errors of the user's input and installation. Any other exception is a fault of the library."""

LONGEST = 4000
"""Letters of a message at most: an error may quote what a file holds."""


class InputError(ValueError):
    """Input that cannot be used. The message says what was expected, what was passed, and how to correct it.

    The command line prints only the message, and exits with code 2. For any other exception it shows the traceback.
    The message is one line that can be printed: it may quote what a file holds. A very long one lacks its middle.
    """

    def __init__(self, message: object = "") -> None:
        text = "".join(letter if letter.isprintable() else " " for letter in str(message)).strip()
        half = LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}")


class MissingExtraError(ImportError):
    """Optional dependency that is needed and not installed. The message names the extra that installs it."""
