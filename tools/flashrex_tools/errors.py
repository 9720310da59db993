"""The one exception that the tools show to the user as a single line instead of a traceback."""


class ImportFailure(Exception):
    """Something in the input is missing, damaged or not understood; the message names it."""
