"""Secrets that are mounted as files: ``NAME_FILE`` names the file that holds the value of NAME."""

import codecs
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from notification_core.errors import Detail

MAX_BYTES = 64 * 1024


@frozen
class SecretFiles:
    """What the files of an environment hold, and what is wrong with them."""

    texts: Mapping[str, str]
    problems: tuple[Detail, ...]


def file_variable(name: str) -> str:
    """Return the variable that names the file of a secret."""
    return f"{name}_FILE"


def decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, without the byte order mark that an editor put there.

    Raises ``ValueError``, which says what it is instead.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("its byte order mark says that it is UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not") from None


def is_given(environ: Mapping[str, str], name: str) -> bool:
    """Tell whether a secret is set, as a value or as a file."""
    return name in environ or file_variable(name) in environ


def read_secret_files(environ: Mapping[str, str], names: Iterable[str]) -> SecretFiles:
    """Read the files of these secrets; a line break at the end is an editor's, and is cut.

    No problem names the path: whoever confuses the two variables wrote the secret there.
    """
    texts: dict[str, str] = {}
    problems: list[Detail] = []
    for name in names:
        if file_variable(name) not in environ:
            continue
        try:
            texts[name] = _text(environ, name)
        except _UnreadableError as error:
            problems.append(Detail(file_variable(name), f"{file_variable(name)} {error}"))
    return SecretFiles(texts, tuple(problems))


class _UnreadableError(Exception):
    """Why a file does not give its secret."""


def _text(environ: Mapping[str, str], name: str) -> str:
    if name in environ:
        raise _UnreadableError(f"and {name} are both set; keep one of them")
    try:
        with Path(environ[file_variable(name)]).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name cannot be one"
        raise _UnreadableError(f"must name a file that can be read ({reason})") from None
    if len(content) > MAX_BYTES:
        raise _UnreadableError(f"must name a file of at most {MAX_BYTES // 1024} KiB")
    try:
        return decoded(content).removesuffix("\n").removesuffix("\r")
    except ValueError as error:
        raise _UnreadableError(f"must name a file of text in UTF-8 ({error})") from None
