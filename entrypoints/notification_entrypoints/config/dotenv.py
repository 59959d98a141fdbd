"""Settings in a file: ``NAME=value`` a line, as tools call it a dotenv file.

Variables of the environment win over those of the file. Nothing is expanded in it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from notification_core.errors import Detail, InvalidSettings
from notification_entrypoints.config.variables import MAX_BYTES, decode_text

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def read_dotenv(path: Path) -> Mapping[str, str]:
    """Return the variables of a file, in UTF-8 and at most 64 KiB.

    Raises :class:`InvalidSettings`, which names the file and the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise _refused(f"{path} has more than {MAX_BYTES:,} bytes")
    try:
        return parse_dotenv(decode_text(content))
    except ValueError as error:
        raise _refused(f"{path}: {error}") from error


def parse_dotenv(text: str) -> Mapping[str, str]:
    """Return the variables of a text; a later line wins. Raises :class:`ValueError`.

    A value is bare (up to `` #``), in single quotes (as it is), or in double quotes, where a
    backslash stands before a quote, a backslash, or the n, r and t of control characters.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise ValueError(f"line {number} is not NAME=value")
        name, written = match.groups()
        if written.startswith(('"', "'")):
            form = _DOUBLE if written.startswith('"') else _SINGLE
            quoted = form.fullmatch(written)
            if quoted is None:
                raise ValueError(f"the quoted value in line {number} does not end in it")
            value = quoted[1]
            if form is _DOUBLE:
                value = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), value)
        else:
            value = re.sub(r"(^|\s+)#.*", "", written)
        values[name] = value
    return values


def _refused(problem: str) -> InvalidSettings:
    return InvalidSettings(f"{problem}.", [Detail("--config", problem)])
