"""``environments``: erasing all that is stored of one."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask, ask_until_ended
from notification_entrypoints.cli.options import ID, examples
from notification_entrypoints.cli.terminal import (
    confirm,
    json_option,
    output,
    print_raw_json,
    run,
    table,
)

_environment = click.argument("environment_id", type=ID)


class _Erasure(msgspec.Struct):
    environment_id: str
    state: str
    requested_at: str
    erased: int
    ended_at: str = ""


@click.group("environments")
def command() -> None:
    """Erase all that is stored of an environment."""


@command.command(
    "purge",
    epilog=examples(
        "environments purge ENVIRONMENT_ID",
        "environments purge ENVIRONMENT_ID --yes --detach",
    ),
)
@_environment
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Do not wait until nothing is left.")
@json_option
@api_option
def purge(environment_id: UUID, api: Api, *, yes: bool, detach: bool, as_json: bool) -> None:
    """Delete webhooks, events, deliveries, logs and keys of an environment for good.

    Nothing more is sent at once. The rest goes by itself: Ctrl-C only stops the waiting.
    """
    if not yes:
        confirm(
            f"Erase environment {environment_id} with all its webhooks, events, logs and keys?",
            "Nothing was erased.",
        )
    response = run(ask(api, "DELETE", f"/environments/{environment_id}"))
    if not detach:
        path = f"/environments/{environment_id}/erasure"
        unfinished = "It goes on; `environments erasure` shows how far it is."
        response = ask_until_ended(api, path, response, unfinished)
    _show(response, as_json=as_json)


@command.command("erasure", epilog=examples("environments erasure ENVIRONMENT_ID"))
@_environment
@json_option
@api_option
def erasure(environment_id: UUID, api: Api, *, as_json: bool) -> None:
    """Show how far the latest erasure of an environment is."""
    _show(run(ask(api, "GET", f"/environments/{environment_id}/erasure")), as_json=as_json)


def _show(response: bytes, *, as_json: bool) -> None:
    if as_json:
        print_raw_json(response)
        return
    e = msgspec.json.decode(response, type=_Erasure)
    columns = ("environment_id", "state", "erased", "requested at", "ended at")
    row = e.environment_id, e.state, f"{e.erased:,}", e.requested_at, e.ended_at
    output().print(table(columns, [row]))
