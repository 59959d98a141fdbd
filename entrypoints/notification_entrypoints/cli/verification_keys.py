"""``verification-keys``: a new key for an environment to sign with."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import environment_option
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.terminal import (
    confirm,
    json_option,
    print_raw_json,
    run,
    show_object,
)


class _Key(msgspec.Struct):
    id: str
    status: str
    whpk: str
    not_before: str


@click.group("verification-keys", cls=Commands)
def command() -> None:
    """Give an environment a new key to sign with; `settings` shows the keys that it has."""


@command.command(
    "rotate",
    epilog=examples(
        "verification-keys rotate --environment ID",
        "verification-keys rotate --environment ID --emergency",
    ),
)
@environment_option("Whose key")
@click.option(
    "--emergency",
    is_flag=True,
    help="The key is known to others: sign by the new one at once, and trust no other.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@api_option
def rotate(environment: UUID, api: Api, *, emergency: bool, yes: bool, as_json: bool) -> None:
    """Make a new key: it is published at once, and signs an hour later.

    The one before it is trusted for a day after that. With --emergency the new key signs at once,
    and no other is trusted after a minute: receivers must read the keys again right away.
    """
    if emergency and not yes:
        confirm(
            "Receivers that do not fetch the keys again will reject all requests. Continue?",
            "No key was rotated.",
        )
    path = f"/environments/{environment}/settings/verification-keys"
    response = run(ask(api, "POST", path, {"emergency": emergency}))
    if as_json:
        print_raw_json(response)
        return
    key = msgspec.json.decode(response, type=_Key)
    shown = {"id": key.id, "status": key.status, "whpk": key.whpk, "not_before": key.not_before}
    show_object(shown)
