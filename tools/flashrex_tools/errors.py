"""The one exception that the tools show to the user as a single line instead of a traceback."""


def describe(value):
    """A value of a file in a few characters; flat, as a small file can hold a value with an endless repr."""
    if isinstance(value, (str, bytes, int, float, type(None))):
        text = repr(value)
        return text if len(text) <= 80 else text[:77] + "..."
    items = value[:8] if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(x, (str, int, float, type(None))) for x in items):
        return "(" + ", ".join(describe(x) for x in items) + ")"
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else f"a {type(value).__name__}"


class ImportFailure(Exception):
    """Something in the input is missing, damaged or not understood; the message names it."""


def in_words(failure):
    """The message of an exception as a line for the user: what the system says without its number and quotes."""
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    return str(failure)
