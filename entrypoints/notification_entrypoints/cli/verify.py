"""``verify``: a captured request, as it went over the wire or as JSON, and which check fails."""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import click
import msgspec
from attrs import frozen
from multidict import CIMultiDict, CIMultiDictProxy

from notification_adapters.clock import SystemClock
from notification_core.errors import InvalidInput, InvalidSignature
from notification_core.model.public_keys import parse_public_key
from notification_core.model.secret_text import SECRET_PREFIX, parse_signing_secret
from notification_core.signing.signatures import SignatureForm
from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.completion import complete_environment_id
from notification_entrypoints.cli.options import ID, examples, is_file
from notification_entrypoints.cli.tables import printable
from notification_entrypoints.cli.terminal import json_option, output, print_json, run
from notification_entrypoints.cli.verification import (
    Captured,
    Check,
    Trust,
    checks,
    envelope_of,
    published_keys,
    signed_at,
)
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.variables import decode_text

MAX_BYTES = 4 * 1024 * 1024
"""A request of ours has at most 1 MiB of body; written as base64 in JSON it is longer."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"[A-Za-z]+ \S+( HTTP/[0-9.]+)?")
_LENGTH = re.compile(r"[0-9]{1,20}")
_FORMS = (
    "Give a request as it went over the wire (headers, an empty line, the body), or as JSON: "
    '{"headers": {"name": "value"}, "body": "…"}, or "body_base64" instead of "body".'
)
_SEVERAL = (
    "There are several JSON objects, one a line, as `listen --json` prints them. Give the line of "
    "one request."
)
_SIGNATURE_HEADER = "X-3dverse-Signature"
_MAX_KEY_BYTES = 4096


@frozen
class _Report:
    """What was found of a request."""

    captured: Captured
    signed_at: datetime | None
    checks: Sequence[Check]

    @property
    def is_good(self) -> bool:
        """Whether every signature is valid."""
        return all(check.problem is None for check in self.checks)


def _keys(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    keys = tuple(_read(text[1:]) if text.startswith("@") else text for text in texts)
    for key in keys:
        try:
            parse_signing_secret(key) if _is_secret(key) else parse_public_key(key)
        except InvalidInput as error:
            hint = f" To read it from the file, give @{key}." if is_file(key) else ""
            raise click.BadParameter(f"{error}{hint}") from error
    return keys


def _is_secret(key: str) -> bool:
    return key.startswith(SECRET_PREFIX)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return decode_text(file.read(_MAX_KEY_BYTES)).strip()
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise click.BadParameter(f"{path} is not a key: {error}.") from error


@click.command(
    "verify",
    epilog=examples(
        "verify request.txt --environment ID",
        "verify request.txt --key @key.pem --any-age",
        "verify request.txt --key @secret.txt",
        "verify --json < request.json",
    ),
)
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--key",
    "keys",
    multiple=True,
    callback=_keys,
    metavar="KEY",
    help="A key to trust: a public one as hex, base64, PEM or whpk_…, a secret as whsec_…, or "
    "@FILE; give several.",
)
@click.option(
    "--environment",
    type=ID,
    shell_complete=complete_environment_id,
    help="Trust the keys that the API publishes of it (default: the one that the body names).",
)
@click.option("--any-age", is_flag=True, help="Do not mind how long ago it was signed.")
@click.option(
    "--signature-header",
    default=_SIGNATURE_HEADER,
    show_default=True,
    help="With --key: the header of the signature; the time is in the one with -Timestamp.",
)
@json_option
@api_option
def command(  # noqa: PLR0913 - one parameter an option
    *,
    file: BinaryIO,
    keys: tuple[str, ...],
    environment: UUID | None,
    any_age: bool,
    signature_header: str,
    api: Api,
    as_json: bool,
) -> int:
    """Verify a captured request in FILE, and say which check fails and why.

    FILE (default: standard input) has the request as it went over the wire: its headers, an
    empty line, its body. Or it is JSON: {"headers": {…}, "body": "…"}, or "body_base64".
    """
    if keys and environment:
        raise click.UsageError("Give either --key or --environment.")
    captured = parse_captured(file.read(MAX_BYTES + 1))
    if keys:
        header = signature_header
        form = SignatureForm(header, f"{header}-Timestamp", f"{header}-Key-Id")
        secrets = [*filter(_is_secret, keys)]
        public_keys = [key for key in keys if not _is_secret(key)]
        trust = Trust(public_keys, form, standard=None, secrets=secrets)
    else:
        trust = run(_fetched(api, captured, environment))
    now = SystemClock().now()
    results = checks(captured, trust, now, any_age=any_age)
    report = _Report(captured, signed_at(captured, trust), results)
    _print(report, as_json=as_json)
    return Exit.OK if report.is_good else Exit.NOT_VERIFIED


async def _fetched(api: Api, captured: Captured, environment: UUID | None) -> Trust:
    """Return whom to trust; a body that names another environment is signed by other keys."""
    envelope = envelope_of(captured.body)
    named = envelope.environment_id if envelope else environment
    if named is None:
        raise InvalidInput("The body names no environment; give --environment or --key.")
    if environment not in {None, named}:
        raise InvalidSignature(f"The body is of environment {named}, not {environment}.")
    async with ApiClient(api) as client:
        published = await published_keys(client, named)
    hexes = [key.hex for key in published.verification_keys]
    return Trust(hexes, published.form, published.form.standard_webhooks)


def _print(report: _Report, *, as_json: bool) -> None:
    envelope = envelope_of(report.captured.body)
    if as_json:
        print_json(
            {
                "verified": report.is_good,
                "event": envelope.type if envelope else None,
                "event_id": envelope.id if envelope else None,
                "signed_at": report.signed_at,
                "checks": [
                    {"signature": check.signature, "problem": check.problem, "hint": check.hint}
                    for check in report.checks
                ],
            }
        )
        return
    console = output()
    for check in report.checks:
        if check.problem is None:
            console.print("[green]✓[/] ", end="")
            console.print(f"{printable(check.signature)}: valid", markup=False)
        else:
            console.print("[red]✗[/] ", end="")
            console.print(f"{printable(check.signature)}: {check.problem}", markup=False)
        if check.hint:
            console.print(f"  {printable(check.hint)}", markup=False)
    what = f"{envelope.type} {envelope.id}" if envelope else "a body that is not an event"
    when = f", signed {report.signed_at:%Y-%m-%d %H:%M:%S} UTC" if report.signed_at else ""
    summary = f"{what}, {len(report.captured.body):,} bytes{when}"
    console.print(printable(summary), markup=False)


class _Json(msgspec.Struct):
    headers: dict[str, str | list[str]] | list[tuple[str, str]]
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    body_base64: str | msgspec.UnsetType = msgspec.UNSET


def parse_captured(data: bytes) -> Captured:
    """Read a captured request; raises :class:`InvalidInput`, which says the accepted forms."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"The request has more than {MAX_BYTES // 1024 // 1024} MiB.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput("The request is UTF-16, as its byte order mark says: save it as UTF-8.")
    data = data.removeprefix(codecs.BOM_UTF8)
    return _from_json(data) if data.lstrip().startswith(b"{") else _from_wire(data)


def _from_wire(data: bytes) -> Captured:
    end = _HEAD_END.search(data)
    if end is None:
        raise InvalidInput(f"This is not a request: no empty line ends its headers. {_FORMS}")
    lines = data[: end.start()].decode("latin-1").splitlines()
    if lines and _REQUEST_LINE.fullmatch(lines[0]):
        del lines[0]
    headers = _headers(line.partition(":") for line in lines)
    return Captured(headers, _whole_body(headers, data[end.end() :]))


def _headers(fields: Iterable[tuple[str, str, str]]) -> CIMultiDictProxy[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, colon, value in fields:
        if not colon or not name or name != name.strip():
            raise InvalidInput(f"This is not a header: {name[:80]!r}. {_FORMS}")
        headers.add(name, value.strip())
    return CIMultiDictProxy(headers)


def _whole_body(headers: CIMultiDictProxy[str], body: bytes) -> bytes:
    """Cut what an editor added behind the body; raise where some of it is missing."""
    length = headers.get("Content-Length", "")
    if not _LENGTH.fullmatch(length):
        return body
    whole = int(length)
    if len(body) < whole:
        sentence = f"The body is not whole: it has {len(body)} bytes, Content-Length says {whole}."
        raise InvalidInput(sentence)
    return body[:whole]


def _from_json(data: bytes) -> Captured:
    try:
        request = msgspec.json.decode(data, type=_Json)
    except (ValueError, RecursionError) as error:
        if len(lines := data.strip().splitlines()) > 1 and all(map(_is_json, lines)):
            raise InvalidInput(_SEVERAL) from error
        raise InvalidInput(f"This is not a captured request ({error}). {_FORMS}") from error
    given = request.headers.items() if isinstance(request.headers, dict) else request.headers
    fields = (
        (name, ":", value)
        for name, values in given
        for value in (values if isinstance(values, list) else [values])
    )
    return Captured(_headers(fields), _json_body(request))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


def _json_body(request: _Json) -> bytes:
    if isinstance(request.body_base64, str):
        try:
            return base64.b64decode(request.body_base64, validate=True)
        except binascii.Error as error:
            raise InvalidInput(f"body_base64 is not base64: {error}.") from error
    if request.body is msgspec.UNSET:
        raise InvalidInput(f"The body is missing. {_FORMS}")
    try:
        return msgspec.json.decode(request.body, type=str).encode()
    except ValueError as error:
        raise InvalidInput(
            "The body must be a string: what was signed is its bytes, and an object that was "
            f"parsed has lost them. {_FORMS}"
        ) from error
