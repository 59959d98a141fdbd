"""Completion of event types and ids in shells: asked of the API, which has a second for it."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

import click
import msgspec

from notification_core.errors import NotificationError
from notification_entrypoints.cli.client import DEFAULT_API, KEY_VARIABLE, Api, ask
from notification_entrypoints.cli.terminal import run

_SECONDS = 1.0


class _Named(msgspec.Struct):
    name: str = ""
    event_id: str = ""
    key_id: str = ""


def complete_event_type(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the event types that begin so."""
    return _beginning(incomplete, [item.name for item in _items(ctx, "/webhooks/events")])


def complete_event_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the latest events of the environment that was given whose ids begin so."""
    environment = ctx.params.get("environment")
    if environment is None:
        return []
    items = _items(ctx, f"/environments/{environment}/events?limit=100")
    return _beginning(incomplete, [item.event_id for item in items])


def complete_key_id(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of API keys that begin so."""
    return _beginning(incomplete, [item.key_id for item in _items(ctx, "/keys?limit=100")])


def _beginning(incomplete: str, values: Sequence[str]) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]


def _items(ctx: click.Context, path: str) -> Sequence[_Named]:
    """Return a list of the API; an empty one if it cannot be had: a shell shows no errors."""
    api = ctx.params.get("api")
    if not isinstance(api, Api):
        url = os.environ.get("NOTIFICATION_API_URL", DEFAULT_API).rstrip("/")
        api = Api(url, os.environ.get(KEY_VARIABLE) or None)
    with suppress(NotificationError, ValueError, OSError):
        response = run(asyncio.wait_for(ask(api, "GET", path), _SECONDS))
        return msgspec.json.decode(response, type=list[_Named])
    return []
