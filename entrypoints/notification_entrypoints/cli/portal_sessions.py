"""``portal-sessions``: customers in the portal of an environment."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask, list_all
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import environment_id_argument, session_id_argument
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.terminal import (
    asynchronous,
    confirm,
    json_option,
    list_option,
    messages,
    output,
    print_raw_json,
    run,
    show_table,
)

_SCOPES = ("read", "write")


class _Session(msgspec.Struct):
    session_id: str
    scope: str
    opened: bool
    expires_at: str
    name: str = ""


class _NewSession(msgspec.Struct):
    session_id: str
    url: str
    expires_at: str


@click.group("portal-sessions", cls=Commands)
def command() -> None:
    """Open the portal for a customer, list the sessions, and end one; takes scope admin."""


@command.command(
    "create",
    epilog=examples(
        "portal-sessions create ENVIRONMENT_ID",
        "portal-sessions create ENVIRONMENT_ID --scope write \\",
        "  --name anna@customer.example --expires-in 8h",
    ),
)
@environment_id_argument
@click.option(
    "--scope",
    type=click.Choice(_SCOPES),
    default="read",
    show_default=True,
    help="What the customer may do: look, or also change webhooks and redeliver.",
)
@click.option("--name", help="Who the customer is, for the audit log.")
@click.option(
    "--expires-in",
    metavar="DURATION",
    help="How long the session lasts, like 30m or 8h, at most 24h (default: 1h).",
)
@json_option
@api_option
def create_session(  # noqa: PLR0913 - one parameter an option
    *,
    environment_id: UUID,
    scope: str,
    name: str | None,
    expires_in: str | None,
    api: Api,
    as_json: bool,
) -> None:
    """Make a session and print the URL that opens it: once, within five minutes.

    Only the URL goes to standard output. Whoever opens it first has the session.
    """
    draft = {"scope": scope}
    draft |= {} if name is None else {"name": name}
    draft |= {} if expires_in is None else {"expires_in": expires_in}
    response = run(ask(api, "POST", f"/environments/{environment_id}/portal-sessions", draft))
    if as_json:
        print_raw_json(response)
        return
    made = msgspec.json.decode(response, type=_NewSession)
    told = f"Session {made.session_id} ends at {made.expires_at}. It is opened, once, by:"
    messages().print(told, markup=False)
    click.echo(made.url)


@command.command(
    "list",
    epilog=examples(
        "portal-sessions list ENVIRONMENT_ID", "portal-sessions list ENVIRONMENT_ID --json"
    ),
)
@environment_id_argument
@list_option
@api_option
@asynchronous
async def list_sessions(environment_id: UUID, api: Api, *, as_json: bool) -> None:
    """List the sessions that have not expired, newest first."""
    sessions = await list_all(api, f"/environments/{environment_id}/portal-sessions")
    if as_json:
        print_raw_json(msgspec.json.encode(sessions))
        return
    rows = [
        (one.session_id, one.name, one.scope, "yes" if one.opened else "no", one.expires_at)
        for one in msgspec.convert(sessions, list[_Session])
    ]
    columns = ("session_id", "name", "scope", "opened", "expires_at")
    show_table(columns, rows, "No customer has the portal open, or can open it.")


@command.command(
    "revoke",
    epilog=examples(
        "portal-sessions revoke ENVIRONMENT_ID SESSION_ID",
        "portal-sessions revoke ENVIRONMENT_ID SESSION_ID --yes",
    ),
)
@environment_id_argument
@session_id_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_option
def revoke_session(
    environment_id: UUID, session_id: UUID, api: Api, *, yes: bool, as_json: bool
) -> None:
    """End a session at once."""
    if not yes:
        confirm(f"End portal session {session_id}?", "Nothing was revoked.")
    run(ask(api, "DELETE", f"/environments/{environment_id}/portal-sessions/{session_id}"))
    if as_json:
        print_raw_json(msgspec.json.encode({"revoked": session_id}))
    else:
        output().print(f"Portal session {session_id} has ended.", markup=False)
