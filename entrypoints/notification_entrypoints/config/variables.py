"""How settings are declared: fields of attrs classes that know all about their variables.

A field's name is its variable's in lower case, without the name of its group. Its metadata say how
the text is read, what stands for a variable that is not set, and what it means. A secret may be
mounted as a file: ``NAME_FILE`` names the file that holds the value of NAME.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import Factory, field, fields, frozen

from notification_core.errors import Detail
from notification_core.model.custom_headers import MASK
from notification_core.model.durations import format_duration
from notification_entrypoints.config.parsers import Parser

T = TypeVar("T")

_SHOWN_LENGTH = 200

MAX_BYTES = 64 * 1024


@frozen
class Variable:
    """What is known of a variable; ``default`` is None where it must be set.

    One that ``follows`` another has its value unless it is set itself.
    """

    parser: Parser[Any]
    default: str | None
    meaning: str
    secret: bool = False
    follows: str | None = None

    @property
    def default_value(self) -> object:
        """What the default is read as."""
        assert self.default is not None  # noqa: S101 - no variable follows one that must be set
        return self.parser.parse(self.default)

    def show(self, value: object) -> str:
        """Return a value as text that may be printed."""
        if self.secret and value:
            return MASK
        # Credentials are hidden where they stand in a URI, and in what was meant to be one.
        text = re.sub(r"^([a-z+]+://)?.*@", rf"\1{MASK}@", _written(value), flags=re.DOTALL)
        before, parameter, _ = text.partition("=")
        return (f"{before}={MASK}" if parameter else text)[:_SHOWN_LENGTH]

    def refusal(self, name: str, text: str, error: ValueError) -> Detail:
        """Say what is wrong with a value, and what would be right."""
        if self.secret:
            return Detail(name, f"{name} must be set to {self.parser.accepts}")
        reason = f" ({str(error).rstrip('.')})" if str(error) else ""
        shown = self.show(text)
        if name.endswith("_PORT") and re.fullmatch(r"(tcp|udp|sctp)://.*", text):
            service = name.removesuffix("_PORT").lower().replace("_", "-")
            reason = (
                f". Kubernetes sets it for a Service that is called {service}: turn that off by "
                f"enableServiceLinks: false in the pod's spec, or set {name} in the container's env"
            )
        return Detail(name, f"{name} is {shown!r}, but must be {self.parser.accepts}{reason}")


def _written(value: object) -> str:
    """Return a value as it would be written in a variable."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case timedelta():
            return format_duration(value)
        case tuple():
            return ",".join(_written(item) for item in value)
        case _:
            return str(value)


def setting(parser: Parser[T], default: str, meaning: str, *, secret: bool = False) -> T:
    """Make a field whose value is read from ``default`` where its variable is not set."""
    variable = Variable(parser, default, meaning, secret)
    return field(
        factory=lambda: parser.parse(default), metadata={"variable": variable}, repr=variable.show
    )


def derived(parser: Parser[Any], default: str, meaning: str, value: Callable[[Any], T]) -> T:
    """Make a field whose default follows from fields above it; ``default`` says how."""
    variable = Variable(parser, default, meaning)
    made: T = field(
        default=Factory(value, takes_self=True), metadata={"variable": variable}, repr=variable.show
    )
    return made


def following(other: str, parser: Parser[T], meaning: str) -> T:
    """Make a field of a group that has the value of a variable outside, unless it is set."""
    variable = Variable(parser, other, meaning, follows=other)
    made: T = field(metadata={"variable": variable}, repr=variable.show)
    return made


def required_secret(parser: Parser[T], meaning: str) -> T:
    """Make a field whose variable must be set."""
    variable = Variable(parser, None, meaning, secret=True)
    made: T = field(metadata={"variable": variable}, repr=variable.show)
    return made


def group(kind: type[T], default: Callable[[Any], T]) -> T:
    """Make a field for the settings whose variables begin with its name."""
    made: T = field(default=Factory(default, takes_self=True), metadata={"group": kind})
    return made


def required_group(kind: type[T]) -> T:
    """Make a field for such settings, of which some must be set."""
    made: T = field(metadata={"group": kind})
    return made


def variables_of(settings: type) -> Iterator[tuple[str, Variable]]:
    """Yield each variable's name, in the order of the fields, and what is known of it."""
    for attribute in fields(settings):
        name = attribute.name.upper()
        if kind := attribute.metadata.get("group"):
            yield from ((f"{name}_{rest}", variable) for rest, variable in variables_of(kind))
        else:
            yield name, attribute.metadata["variable"]


def value_of(settings: object, name: str) -> object:
    """Return the value that a variable has in these settings; LookupError if it is none."""
    for attribute in fields(cast("Any", type(settings))):
        value, prefix = getattr(settings, attribute.name), f"{attribute.name.upper()}_"
        if f"{name}_" == prefix:
            return value
        if "group" in attribute.metadata and name.startswith(prefix):
            return value_of(value, name.removeprefix(prefix))
    raise LookupError(name)


def build(settings: type[T], values: Mapping[str, object]) -> T:
    """Make settings of the values of their variables, by name; the others have their defaults.

    Those that must be set must be among them.
    """
    variables = dict(variables_of(settings))
    followed = {
        name: values.get(variable.follows, variables[variable.follows].default_value)
        for name, variable in variables.items()
        if variable.follows
    }
    values = {**followed, **values}
    arguments: dict[str, Any] = {}
    for attribute in fields(cast("Any", settings)):
        name = attribute.name.upper()
        if kind := attribute.metadata.get("group"):
            names = {member.name: f"{name}_{member.name.upper()}" for member in fields(kind)}
            present = {key: values[full] for key, full in names.items() if full in values}
            arguments[attribute.name] = kind(**present)
        elif name in values:
            arguments[attribute.name] = values[name]
    return settings(**arguments)


@frozen
class SecretFiles:
    """What the files of an environment hold, and what is wrong with them."""

    texts: Mapping[str, str]
    problems: tuple[Detail, ...]


def file_variable(name: str) -> str:
    """Return the variable that names the file of a secret."""
    return f"{name}_FILE"


def decode_text(content: bytes) -> str:
    """Return the text of a file in UTF-8, without the byte order mark that an editor put there.

    Raises ``ValueError``, which says what it is instead.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("its byte order mark says that it is UTF-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not") from None


def is_secret_set(environ: Mapping[str, str], name: str) -> bool:
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
        return decode_text(content).removesuffix("\n").removesuffix("\r")
    except ValueError as error:
        raise _UnreadableError(f"must name a file of text in UTF-8 ({error})") from None
