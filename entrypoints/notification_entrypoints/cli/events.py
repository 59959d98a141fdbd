"""``events types``: what a webhook can subscribe to."""

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.terminal import json_option, output, print_raw_json, run, table


class _EventType(msgspec.Struct):
    name: str
    description: str


@click.group("events")
def command() -> None:
    """Show what can happen."""


@command.command(
    "types",
    epilog=examples(
        "events types",
        "events types --json",
    ),
)
@json_option
@api_option
def types(api: Api, *, as_json: bool) -> None:
    """List the event types: what a webhook can subscribe to.

    With --json each has a JSON Schema of its data and an example as well.
    """
    answer = run(ask(api, "GET", "/webhooks/events"))
    if as_json:
        print_raw_json(answer)
        return
    known = msgspec.json.decode(answer, type=list[_EventType])
    output().print(table(("event", "when"), [(each.name, each.description) for each in known]))
