"""The one exception for a user's mistake."""


class InputError(ValueError):
    """Input that cannot be used. Its message is one line: expected, got, what to do.

    The command line prints it without a traceback and exits with status 2.
    """
