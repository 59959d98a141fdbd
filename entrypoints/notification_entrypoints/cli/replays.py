"""``replays`` and ``webhooks replay``: delivering again what a webhook has missed."""

from collections.abc import Sequence
from uuid import UUID

import click
import msgspec

from notification_client.models import ReplayCount
from notification_entrypoints.cli.client import Api, api_option, ask, ask_until_ended
from notification_entrypoints.cli.groups import Commands
from notification_entrypoints.cli.ids import replay_id_argument, webhook_id_argument
from notification_entrypoints.cli.options import examples, instant, until_option
from notification_entrypoints.cli.terminal import (
    json_option,
    list_option,
    output,
    print_raw_json,
    run,
    show_table,
)

_STATES = ("failed", "skipped", "cancelled", "succeeded")

_webhook_id = webhook_id_argument()


class _Replay(msgspec.Struct):
    replay_id: str
    state: str
    replayed: int
    since: str
    until: str
    states: list[str]
    done_until: str = ""


@click.command(
    "replay",
    epilog=examples(
        "webhooks replay WEBHOOK_ID --since 2h --dry-run",
        "webhooks replay WEBHOOK_ID --since 2026-11-24T09:00:00Z --state failed",
    ),
)
@_webhook_id
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    callback=instant,
    help="Only deliveries created since then: a time, or a duration (2h).",
)
@until_option
@click.option(
    "--state",
    "states",
    type=click.Choice(_STATES),
    multiple=True,
    help="Only deliveries in this state; repeatable (default: all that were not delivered, but for "
    "what the filter kept back).",
)
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@json_option
@api_option
def replay(  # noqa: PLR0913 - one parameter an option
    *,
    webhook_id: UUID,
    since: str,
    until: str | None,
    states: tuple[str, ...],
    dry_run: bool,
    detach: bool,
    api: Api,
    as_json: bool,
) -> None:
    """Replay what a webhook has missed, and wait until all of it is queued.

    It runs on by itself: Ctrl-C only stops the waiting, `replays cancel` stops the replay.
    """
    draft: dict[str, object] = {"since": since, "dry_run": dry_run}
    draft |= ({"until": until} if until else {}) | ({"states": states} if states else {})
    path = f"/webhooks/{webhook_id}/replays"
    response = run(ask(api, "POST", path, draft))
    if not dry_run and not detach:
        where = f"{path}/{msgspec.json.decode(response, type=_Replay).replay_id}"
        unfinished = f"It continues; its progress is at {where}."
        response = ask_until_ended(api, where, response, unfinished)
    if as_json:
        print_raw_json(response)
    elif dry_run:
        counted = msgspec.json.decode(response, type=ReplayCount)
        more = "" if counted.is_exact else " or more"
        output().print(f"{counted.count:,}{more} deliveries would be replayed.")
    else:
        _show_rows([msgspec.json.decode(response, type=_Replay)])


@click.group("replays", cls=Commands)
def command() -> None:
    """Show and cancel replays; `webhooks replay` starts one."""


@command.command(
    "list", epilog=examples("replays list WEBHOOK_ID", "replays list WEBHOOK_ID -o csv")
)
@_webhook_id
@list_option
@api_option
def list_replays(webhook_id: UUID, api: Api, *, as_json: bool) -> None:
    """List the latest replays of a webhook, newest first."""
    response = run(ask(api, "GET", f"/webhooks/{webhook_id}/replays"))
    if as_json:
        print_raw_json(response)
    else:
        _show_rows(msgspec.json.decode(response, type=list[_Replay]))


@command.command(
    "show",
    epilog=examples(
        "replays show WEBHOOK_ID REPLAY_ID", "replays show WEBHOOK_ID REPLAY_ID --json"
    ),
)
@_webhook_id
@replay_id_argument
@json_option
@api_option
def show_replay(webhook_id: UUID, replay_id: UUID, api: Api, *, as_json: bool) -> None:
    """Show the progress of a replay."""
    response = run(ask(api, "GET", f"/webhooks/{webhook_id}/replays/{replay_id}"))
    if as_json:
        print_raw_json(response)
    else:
        _show_rows([msgspec.json.decode(response, type=_Replay)])


@command.command(
    "cancel",
    epilog=examples(
        "replays cancel WEBHOOK_ID REPLAY_ID", "replays cancel WEBHOOK_ID REPLAY_ID --json"
    ),
)
@_webhook_id
@replay_id_argument
@json_option
@api_option
def cancel_replay(webhook_id: UUID, replay_id: UUID, api: Api, *, as_json: bool) -> None:
    """Cancel a replay; what it has queued is sent."""
    run(ask(api, "DELETE", f"/webhooks/{webhook_id}/replays/{replay_id}"))
    if as_json:
        print_raw_json(msgspec.json.encode({"cancelled": replay_id}))
    else:
        output().print(f"Replay {replay_id} is cancelled.", markup=False)


def _show_rows(replays: Sequence[_Replay]) -> None:
    columns = ("replay_id", "state", "replayed", "done_until", "since", "until", "states")
    rows = [
        (
            replay.replay_id,
            replay.state,
            replay.replayed,
            replay.done_until,
            replay.since,
            replay.until,
            ", ".join(replay.states),
        )
        for replay in replays
    ]
    show_table(columns, rows, "There are no replays yet: start one with `webhooks replay`.")
