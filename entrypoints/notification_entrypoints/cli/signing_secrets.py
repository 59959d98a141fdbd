"""``webhooks signing-secrets``: secrets that requests to a webhook are signed with."""

from typing import TextIO
from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import secret_id_argument, webhook_id_argument
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.terminal import (
    confirm,
    json_option,
    messages,
    output,
    print_raw_json,
    run,
    show_table,
)

_MAX_LENGTH = 4096

_webhook_id = webhook_id_argument()


class _Secret(msgspec.Struct):
    secret_id: str
    created_at: str
    expires_at: str = ""
    secret: str = ""


@click.group("signing-secrets", cls=Commands)
def signing_secrets() -> None:
    """Make, list and revoke the secrets that requests to a webhook are signed with."""


@signing_secrets.command(
    "create",
    epilog=examples(
        "webhooks signing-secrets create WEBHOOK_ID > secret.txt",
        "webhooks signing-secrets create WEBHOOK_ID --secret-file secret.txt",
    ),
)
@_webhook_id
@click.option(
    "--secret-file",
    type=click.File("r", encoding="utf-8"),
    help="The file of a whsec_ secret to use, - for standard input (default: one is made).",
)
@json_option
@api_option
def create_secret(webhook_id: UUID, secret_file: TextIO | None, api: Api, *, as_json: bool) -> None:
    """Have requests signed with a new secret and print it: it is shown this once.

    The one before it stays valid for 24 hours. Only the secret goes to standard output, so that it
    can go straight into a file or a vault.
    """
    draft = {"secret": secret_file.read(_MAX_LENGTH).strip()} if secret_file else {}
    response = run(ask(api, "POST", f"/webhooks/{webhook_id}/signing-secrets", draft))
    if as_json:
        print_raw_json(response)
        return
    made = msgspec.json.decode(response, type=_Secret)
    messages().print(f"Secret {made.secret_id} is made. It cannot be shown again:", markup=False)
    click.echo(made.secret)


@signing_secrets.command(
    "list",
    epilog=examples(
        "webhooks signing-secrets list WEBHOOK_ID",
        "webhooks signing-secrets list WEBHOOK_ID --json",
    ),
)
@_webhook_id
@json_option
@api_option
def list_secrets(webhook_id: UUID, api: Api, *, as_json: bool) -> None:
    """List the secrets that requests are signed with now, newest first, without themselves."""
    response = run(ask(api, "GET", f"/webhooks/{webhook_id}/signing-secrets"))
    if as_json:
        print_raw_json(response)
        return
    secrets = msgspec.json.decode(response, type=list[_Secret])
    rows = [(one.secret_id, one.created_at, one.expires_at) for one in secrets]
    empty = "Requests to this webhook are signed with the environment's keys alone."
    show_table(("secret_id", "created_at", "expires_at"), rows, empty)


@signing_secrets.command(
    "revoke",
    epilog=examples(
        "webhooks signing-secrets revoke WEBHOOK_ID SECRET_ID",
        "webhooks signing-secrets revoke WEBHOOK_ID SECRET_ID --yes",
    ),
)
@_webhook_id
@secret_id_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_option
def revoke_secret(webhook_id: UUID, secret_id: UUID, api: Api, *, yes: bool, as_json: bool) -> None:
    """Revoke a secret: within a second no request is signed with it."""
    if not yes:
        confirm(f"Revoke signing secret {secret_id}?", "Nothing was revoked.")
    run(ask(api, "DELETE", f"/webhooks/{webhook_id}/signing-secrets/{secret_id}"))
    if as_json:
        print_raw_json(msgspec.json.encode({"revoked": secret_id}))
    else:
        output().print(f"Signing secret {secret_id} is revoked.", markup=False)
