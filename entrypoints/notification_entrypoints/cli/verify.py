"""``verify``: a captured request, and which check of it fails and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import click
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_core.errors import InvalidInput, InvalidSignature
from notification_core.model.public_keys import parse_public_key
from notification_entrypoints.cli.captured import MAX_BYTES, Captured, parse_captured
from notification_entrypoints.cli.checks import Check, Trust, checks, signed_at
from notification_entrypoints.cli.client import Api, ApiClient, api_option
from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.ids import ID
from notification_entrypoints.cli.terminal import json_option, output, print_json, printable, run
from notification_entrypoints.cli.verification import (
    SignatureForm,
    envelope_of,
    published_keys,
)
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.variables import decoded

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
        """Whether every signature holds."""
        return all(check.problem is None for check in self.checks)


def _keys(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    keys = tuple(_read(text[1:]) if text.startswith("@") else text for text in texts)
    for key in keys:
        try:
            parse_public_key(key)
        except InvalidInput as error:
            raise click.BadParameter(str(error)) from error
    return keys


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return decoded(file.read(_MAX_KEY_BYTES)).strip()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"There is no key to be read at {path}: {error}.") from error


@click.command(
    "verify",
    epilog=examples(
        "verify request.txt --environment ID",
        "verify request.txt --key @key.pem --any-age",
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
    help="A public key to trust, as hex, base64, PEM or whpk_…, or @FILE; give several.",
)
@click.option(
    "--environment",
    type=ID,
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
    trust = _given(keys, signature_header) if keys else run(_fetched(api, captured, environment))
    now = SystemClock().now()
    found = checks(captured, trust, now, any_age=any_age)
    report = _Report(captured, signed_at(captured, trust), found)
    _print(report, as_json=as_json)
    return Exit.OK if report.is_good else Exit.NOT_VERIFIED


def _given(keys: Sequence[str], header: str) -> Trust:
    form = SignatureForm(header, f"{header}-Timestamp", f"{header}-Key-Id")
    return Trust(keys, form, standard=None)


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
    if as_json:
        print_json(_as_json(report))
        return
    console = output()
    for check in report.checks:
        if check.problem is None:
            console.print("[green]✓[/] ", end="")
            console.print(f"{printable(check.signature)}: holds", markup=False)
        else:
            console.print("[red]✗[/] ", end="")
            console.print(f"{printable(check.signature)}: {check.problem}", markup=False)
        if check.hint:
            console.print(f"  {printable(check.hint)}", markup=False)
    console.print(_summary(report), markup=False)


def _summary(report: _Report) -> str:
    envelope = envelope_of(report.captured.body)
    what = f"{envelope.type} {envelope.id}" if envelope else "a body that is no event"
    when = f", signed {report.signed_at:%Y-%m-%d %H:%M:%S} UTC" if report.signed_at else ""
    return printable(f"{what}, {len(report.captured.body):,} bytes{when}")


def _as_json(report: _Report) -> Mapping[str, object]:
    envelope = envelope_of(report.captured.body)
    return {
        "verified": report.is_good,
        "event": envelope.type if envelope else None,
        "event_id": envelope.id if envelope else None,
        "signed_at": report.signed_at,
        "checks": [
            {"signature": each.signature, "problem": each.problem, "hint": each.hint}
            for each in report.checks
        ],
    }
