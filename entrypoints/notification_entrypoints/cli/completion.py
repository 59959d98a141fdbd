"""Completion of event types and ids in shells: asked of the API, which has a second for it.

The API lists the webhooks of an environment, and no environments. The environment is the option's,
that of the variable ``NOTIFICATION_ENVIRONMENT``, or one that an API key names.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem

from notification_core.errors import NotificationError
from notification_entrypoints.cli.client import DEFAULT_API, KEY_VARIABLE, Api, ApiClient
from notification_entrypoints.cli.terminal import run

ENVIRONMENT_VARIABLE: Final = "NOTIFICATION_ENVIRONMENT"
"""The environment of commands that need one, unless ``--environment`` says another."""

_SECONDS: Final = 1.0
_MOST_WEBHOOKS: Final = 5  # One request each; more would not be answered in time.

_Model = TypeVar("_Model")


class _Named(msgspec.Struct):
    name: str = ""
    event: str = ""
    state: str = ""
    created_at: str = ""
    event_id: str = ""
    key_id: str = ""
    webhook_id: str = ""
    delivery_id: str = ""
    replay_id: str = ""
    secret_id: str = ""
    session_id: str = ""


class _Key(msgspec.Struct):
    environments: list[str] | str = []


def complete_event_type(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the event types that begin so."""
    found = _ask(ctx, lambda client: _items(client, "/webhooks/events"))
    return _beginning(incomplete, ((item.name, "") for item in found))


def complete_event_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the latest events of the environment that was given whose ids begin so."""
    environment = _environment(ctx)
    if environment is None:
        return []
    path = f"/environments/{environment}/events"
    found = _ask(ctx, lambda client: _items(client, path, limit="100"))
    return _beginning(incomplete, ((item.event_id, item.event) for item in found))


def complete_key_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ids of API keys that begin so."""
    found = _ask(ctx, lambda client: _items(client, "/keys", limit="100"))
    return _beginning(incomplete, ((item.key_id, item.name) for item in found))


def complete_environment_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the environment of the variable and those that API keys are for, if they begin so."""
    known = [given] if (given := os.environ.get(ENVIRONMENT_VARIABLE, "")) else []
    known += _ask(ctx, _environments)
    return _beginning(incomplete, ((environment, "") for environment in dict.fromkeys(known)))


def complete_webhook_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the webhooks whose ids begin so, each with its name."""
    found = _ask(ctx, lambda client: _webhooks(client, _environment(ctx)))
    return _beginning(incomplete, ((item.webhook_id, item.name) for item in found))


def complete_delivery_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the latest deliveries of the first webhooks whose ids begin so."""

    async def deliveries(client: ApiClient) -> list[_Named]:
        webhooks = await _webhooks(client, _environment(ctx))
        paths = [f"/webhooks/{item.webhook_id}/deliveries" for item in webhooks[:_MOST_WEBHOOKS]]
        lists = await asyncio.gather(*(_items(client, path, limit="20") for path in paths))
        return [item for found in lists for item in found]

    found = _ask(ctx, deliveries)
    return _beginning(
        incomplete, ((item.delivery_id, f"{item.event} {item.state}") for item in found)
    )


def complete_replay_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the replays of the webhook that was given whose ids begin so."""
    path = f"/webhooks/{ctx.params.get('webhook_id')}/replays"
    found = _ask(ctx, lambda client: _items(client, path, limit="100"))
    return _beginning(incomplete, ((item.replay_id, item.state) for item in found))


def complete_secret_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the signing secrets of the webhook that was given whose ids begin so."""
    path = f"/webhooks/{ctx.params.get('webhook_id')}/signing-secrets"
    found = _ask(ctx, lambda client: _items(client, path))
    return _beginning(incomplete, ((item.secret_id, item.created_at) for item in found))


def complete_session_id(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the portal sessions of the environment that was given whose ids begin so."""
    path = f"/environments/{ctx.params.get('environment_id')}/portal-sessions"
    found = _ask(ctx, lambda client: _items(client, path, limit="100"))
    return _beginning(incomplete, ((item.session_id, item.name) for item in found))


def _beginning(incomplete: str, values: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [
        CompletionItem(value, help=what or None)
        for value, what in values
        if value and value.startswith(incomplete)
    ]


def _environment(ctx: click.Context) -> str | None:
    return str(ctx.params.get("environment") or os.environ.get(ENVIRONMENT_VARIABLE, "")) or None


async def _environments(client: ApiClient) -> list[str]:
    """Return the environments that API keys are for: what an administrator may read."""
    keys = msgspec.json.decode(
        await client.request("GET", "/keys", query={"limit": "100"}), type=list[_Key]
    )
    return [each for key in keys if isinstance(key.environments, list) for each in key.environments]


async def _webhooks(client: ApiClient, environment: str | None) -> list[_Named]:
    known = [environment] if environment else list(dict.fromkeys(await _environments(client)))
    paths = [f"/environments/{each}/webhooks" for each in known[:_MOST_WEBHOOKS]]
    lists = await asyncio.gather(*(_items(client, path) for path in paths))
    return [item for found in lists for item in found]


async def _items(client: ApiClient, path: str, **query: str) -> list[_Named]:
    return msgspec.json.decode(await client.request("GET", path, query=query), type=list[_Named])


def _ask(
    ctx: click.Context, question: Callable[[ApiClient], Coroutine[object, object, Sequence[_Model]]]
) -> Sequence[_Model]:
    """Return what the API lists; nothing if it cannot be had: a shell shows no errors."""
    api = ctx.params.get("api")
    if not isinstance(api, Api):
        url = os.environ.get("NOTIFICATION_API_URL", DEFAULT_API).rstrip("/")
        api = Api(url, os.environ.get(KEY_VARIABLE) or None)

    async def asked() -> Sequence[_Model]:
        async with ApiClient(api) as client:
            return await asyncio.wait_for(question(client), _SECONDS)

    with suppress(NotificationError, ValueError, OSError):
        return run(asked())
    return []
