"""``keys``: API keys."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask, list_all
from notification_entrypoints.cli.completion import complete_environment_id, complete_key_id
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.options import ID, examples, time_to_come
from notification_entrypoints.cli.tables import plain
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

_SCOPES = ("read", "write", "admin")


class _Key(msgspec.Struct):
    key_id: str
    name: str
    scope: str
    environments: list[str] | str
    state: str
    created_at: str
    expires_at: str | None = None


class _NewKey(msgspec.Struct):
    key_id: str
    key: str


@click.group("keys", cls=Commands)
def command() -> None:
    """Create, list and revoke API keys; this takes a key with scope admin."""


@command.command(
    "create",
    epilog=examples(
        "keys create --name Publisher --scope write --environment ID",
        "keys create --name Anna --scope admin --all-environments \\",
        "  --expires 2027-06-30T00:00:00Z",
        "keys create --name CI --scope read --environment ID > ci.key",
    ),
)
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--scope",
    type=click.Choice(_SCOPES),
    required=True,
    help="What it may do: write includes read, and admin both.",
)
@click.option(
    "--environment",
    "environments",
    type=ID,
    shell_complete=complete_environment_id,
    multiple=True,
    help="An environment that it is valid for (repeatable).",
)
@click.option(
    "--all-environments", is_flag=True, help="It is valid for all environments, also future ones."
)
@click.option(
    "--expires",
    callback=time_to_come,
    metavar="TIME",
    help="When it expires, like 2027-06-30T00:00:00Z, or how long from now, like 720h "
    "(default: never).",
)
@json_option
@api_option
def create_key(  # noqa: PLR0913 - one parameter an option
    *,
    name: str,
    scope: str,
    environments: tuple[UUID, ...],
    all_environments: bool,
    expires: str | None,
    api: Api,
    as_json: bool,
) -> None:
    """Create a key and print it: it is shown this once.

    Only the key goes to standard output, so that it can go straight into a file or a vault.
    """
    if all_environments is bool(environments):
        raise click.UsageError("Give either --environment or --all-environments.")
    draft: dict[str, object] = {"name": name, "scope": scope}
    draft["environments"] = "all" if all_environments else environments
    draft |= {"expires_at": expires} if expires else {}
    response = run(ask(api, "POST", "/keys", draft))
    if as_json:
        print_raw_json(response)
        return
    made = msgspec.json.decode(response, type=_NewKey)
    messages().print(f"Key {made.key_id} is created. It cannot be shown again:", markup=False)
    click.echo(made.key)


@command.command("list", epilog=examples("keys list", "keys list --json"))
@list_option
@api_option
@asynchronous
async def list_keys(api: Api, *, as_json: bool) -> None:
    """List all keys, newest first, also those that have expired or were revoked."""
    keys = await list_all(api, "/keys")
    if as_json:
        print_raw_json(msgspec.json.encode(keys))
        return
    rows = [
        (key.key_id, key.name, key.scope, key.state, key.expires_at, plain(key.environments))
        for key in msgspec.convert(keys, list[_Key])
    ]
    columns = ("key_id", "name", "scope", "state", "expires_at", "environments")
    show_table(columns, rows, "There are no API keys yet: create one with `keys create`.")


@command.command("revoke", epilog=examples("keys revoke KEY_ID", "keys revoke KEY_ID --yes"))
@click.argument("key_id", type=ID, shell_complete=complete_key_id)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_option
def revoke_key(key_id: UUID, api: Api, *, yes: bool, as_json: bool) -> None:
    """Revoke a key permanently: within a second it is rejected.

    KEY_ID is what `keys list` shows. It is also in the key, but the key itself belongs on no
    command line: others can read that.
    """
    if not yes:
        confirm(f"Revoke key {key_id} permanently?", "Nothing was revoked.")
    run(ask(api, "DELETE", f"/keys/{key_id}"))
    if as_json:
        print_raw_json(msgspec.json.encode({"revoked": key_id}))
    else:
        output().print(f"Key {key_id} is revoked.", markup=False)
