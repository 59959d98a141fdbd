"""``environments``: erasing all that is stored of one."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask, ask_until_ended
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import environment_id_argument
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.terminal import (
    confirm,
    json_option,
    print_raw_json,
    run,
    show_object,
)


@click.group("environments", cls=Commands)
def command() -> None:
    """Erase all that is stored of an environment."""


@command.command(
    "purge",
    epilog=examples(
        "environments purge ENVIRONMENT_ID",
        "environments purge ENVIRONMENT_ID --yes --detach",
    ),
)
@environment_id_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Do not wait until nothing is left.")
@json_option
@api_option
def purge(environment_id: UUID, api: Api, *, yes: bool, detach: bool, as_json: bool) -> None:
    """Delete webhooks, events, deliveries, logs and keys of an environment permanently.

    Sending stops at once. The erasure goes on by itself: Ctrl-C only stops the waiting.
    """
    if not yes:
        confirm(
            f"Erase environment {environment_id} with all its webhooks, events, logs and keys?",
            "Nothing was erased.",
        )
    response = run(ask(api, "DELETE", f"/environments/{environment_id}"))
    if not detach:
        path = f"/environments/{environment_id}/erasure"
        unfinished = "It continues; `environments erasure` shows its progress."
        response = ask_until_ended(api, path, response, unfinished)
    _show(response, as_json=as_json)


@command.command(
    "erasure",
    epilog=examples(
        "environments erasure ENVIRONMENT_ID", "environments erasure ENVIRONMENT_ID --utc"
    ),
)
@environment_id_argument
@json_option
@api_option
def erasure(environment_id: UUID, api: Api, *, as_json: bool) -> None:
    """Show the progress of the latest erasure of an environment."""
    _show(run(ask(api, "GET", f"/environments/{environment_id}/erasure")), as_json=as_json)


def _show(response: bytes, *, as_json: bool) -> None:
    if as_json:
        print_raw_json(response)
        return
    show_object(msgspec.json.decode(response, type=dict[str, object]))
