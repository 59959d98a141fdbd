"""Examples in the commands' help."""

_PROGRAM = "notification-management"


def examples(*lines: str) -> str:
    """Return calls of this program for the end of a command's help.

    A line that begins with a blank goes on with the one before.
    """
    called = (f"  {line}" if line.startswith(" ") else f"{_PROGRAM} {line}" for line in lines)
    return block("Examples:", *called)


def block(title: str, *lines: str) -> str:
    """Return lines for the end of a command's help, which are shown as they are."""
    # click leaves a paragraph that begins with a backspace as it is.
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
