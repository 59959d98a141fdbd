"""Bytes as a page shows them: as text if they are text, else as a hex dump."""

from typing import Final

from attrs import frozen

MAX_DUMPED: Final = 2048
"""How many bytes a dump shows: nobody reads more of them."""

_IN_A_LINE: Final = 16
_LAYOUT: Final = {"\t", "\n", "\r"}


@frozen
class ShownBytes:
    """Bytes to look at: either ``text``, or a ``dump`` that may be of the beginning only."""

    size: int
    text: str | None
    dump: str
    is_cut: bool


def shown_bytes(data: bytes) -> ShownBytes:
    """Return bytes as text, unless they are not UTF-8 or have control characters, as a dump."""
    try:
        text: str | None = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and any(not (c.isprintable() or c in _LAYOUT) for c in text):
        text = None
    dump = "" if text is not None else _dump(data[:MAX_DUMPED])
    return ShownBytes(len(data), text, dump, is_cut=bool(dump) and len(data) > MAX_DUMPED)


def _dump(data: bytes) -> str:
    lines = (data[start : start + _IN_A_LINE] for start in range(0, len(data), _IN_A_LINE))
    width = _IN_A_LINE * 3 - 1
    return "\n".join(
        f"{number * _IN_A_LINE:04x}  {line.hex(' '):{width}}  {_printable(line)}"
        for number, line in enumerate(lines)
    )


def _printable(line: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line)  # noqa: PLR2004 - ASCII
