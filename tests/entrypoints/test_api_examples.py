"""Each example of the document is true: sent to a server, it is answered as the document shows.

The server has what the examples tell of, by the same ids. What an answer shows is compared by its
fields, not by its values: those tell of other times and other keys.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import frozen

from notification_core.access import Scope
from notification_core.api_keys import ApiKey
from notification_core.deliveries import (
    Attempt,
    AttemptError,
    BegunDelivery,
    ErrorCode,
    NewDelivery,
    Outcome,
    Reason,
    ReceivedResponse,
    Retry,
    State,
    Succeeded,
)
from notification_core.events import Event, EventToStore, body_of
from notification_core.webhooks import Webhook
from tests.entrypoints.api_services import LEASE, Backstage, attempt_of
from tests.entrypoints.checked_api import DOCUMENT, CheckedClient, operations, resolved

Values = Mapping[str, Any]

PARAMETERS = DOCUMENT["components"]["parameters"]
ENVIRONMENT = UUID(PARAMETERS["EnvironmentId"]["example"])
WEBHOOK = UUID(PARAMETERS["WebhookId"]["example"])
DELIVERY = UUID(PARAMETERS["DeliveryId"]["example"])
EVENT = PARAMETERS["EventId"]["example"]
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
LATER = datetime(2099, 1, 1, tzinfo=UTC)

IDS = {each["name"]: each["example"] for each in PARAMETERS.values() if each["in"] == "path"}

ANY_FIELDS = {"custom_headers", "headers", "schema", "example"}
"""What is in these is not ours to say."""

BEGINNINGS = {"getOpenApi"}
"""Whose examples show only some of the fields."""


@frozen
class Example:
    """A request of the document, and the answers that it shows for it."""

    operation_id: str
    status: str
    media_type: str | None
    body: Any
    answers: tuple[Any, ...]


def examples() -> Iterator[Any]:
    """Yield each request example of each operation."""
    for operation_id, (method, path) in operations().items():
        operation = DOCUMENT["paths"][path][method.lower()]
        status, response = next(
            (status, resolved(each))
            for status, each in operation["responses"].items()
            if status.startswith("2")
        )
        shown = values_of(response.get("content", {}).get("application/json", {}))
        content = operation.get("requestBody", {}).get("content", {})
        bodies = [
            (media_type, name, body)
            for media_type, each in content.items()
            for name, body in values_of(each).items()
        ]
        for media_type, name, body in bodies or [(None, "", None)]:
            answers = (shown[name],) if name in shown else tuple(shown.values())
            example = Example(operation_id, status, media_type, body, answers)
            yield pytest.param(example, id=f"{operation_id} {name} {media_type or ''}".strip())


def values_of(content: Values) -> Values:
    return {name: resolved(each)["value"] for name, each in content.get("examples", {}).items()}


@pytest.fixture(autouse=True)
async def example_world(stage: Backstage) -> None:
    """Put into storage what the examples tell of."""
    headers = {"Authorization": "Bearer 5f1d7a", "X-Tenant": "north"}
    webhook = Webhook(
        WEBHOOK,
        ENVIRONMENT,
        "Job results",
        "https://example.com/hooks/jobs",
        frozenset({"job-completed", "pipeline-completed"}),
        NOW,
        NOW,
        description="Tells the ticket system.",
        custom_headers=headers,
    )
    await stage.stores.webhooks.add(webhook, 1)
    last = UUID(int=DELIVERY.int - 1)
    await store(stage, EVENT, skipped(EVENT, last), NewDelivery(DELIVERY, *address(EVENT)))
    await attempt(stage, fails=True)
    another = NewDelivery(UUID(int=last.int - 1), *address("job-6-completed"))
    await store(stage, "job-6-completed", another)
    await attempt(stage, fails=False)
    await issue(stage)


async def issue(stage: Backstage) -> None:
    """Make two API keys, of which one was revoked."""
    one = ApiKey(UUID(IDS["key_id"]), "n", Scope.WRITE, frozenset({ENVIRONMENT}), b"", NOW, LATER)
    everything = ApiKey(UUID(int=1), "n", Scope.ADMIN, None, b"", NOW, revoked_at=NOW)
    for key in (one, everything):
        await stage.stores.api_keys.add(key)


def address(event_id: str) -> tuple[UUID, UUID, str]:
    return ENVIRONMENT, WEBHOOK, event_id


def skipped(event_id: str, delivery_id: UUID) -> NewDelivery:
    return NewDelivery(delivery_id, *address(event_id), State.SKIPPED, Reason.WEBHOOK_DISABLED)


async def store(stage: Backstage, event_id: str, *deliveries: NewDelivery) -> None:
    event = Event(event_id, ENVIRONMENT, "job-completed", NOW, b"{}")
    async with stage.stores.deliveries.ingesting() as transaction:
        await transaction.add_events([EventToStore(event, body_of(event))])
        await transaction.add_deliveries(deliveries, None, LEASE)


async def attempt(stage: Backstage, *, fails: bool) -> None:
    """Make the attempt that is due."""
    (begun,) = await stage.begin(1)
    if fails:
        await stage.end(failed(begun), begun, Retry(timedelta(hours=1)))
    else:
        await stage.end(attempt_of(begun), begun, Succeeded())


def failed(begun: BegunDelivery) -> Attempt:
    return attempt_of(
        begun,
        outcome=Outcome.FAILED,
        error=AttemptError(ErrorCode.HTTP_STATUS, "The receiver answered 500."),
        response=ReceivedResponse(500, (), b"out of disk"),
    )


@pytest.mark.parametrize("example", [*examples()])
async def test_it_is_answered_as_the_document_shows(api: CheckedClient, example: Example) -> None:
    method, path = operations()[example.operation_id]
    options: dict[str, Any] = {}
    if example.media_type:
        options = {"json": example.body, "headers": {"Content-Type": example.media_type}}
    answer = await api.call(method, path.format_map(IDS), **options)
    assert str(answer.status) == example.status, answer.json
    only_some = example.operation_id in BEGINNINGS
    assert not example.answers or any(
        shows(shown, answer.json, only_some=only_some) for shown in example.answers
    ), answer.json


def shows(shown: Any, answered: Any, *, only_some: bool = False) -> bool:
    """Tell whether what was answered has the fields of what is shown."""
    match shown, answered:
        case dict(), dict():
            same = shown.keys() <= answered.keys() if only_some else shown.keys() == answered.keys()
            inner = shown.keys() - ANY_FIELDS if same and not only_some else ()
            return same and all(shows(shown[name], answered[name]) for name in inner)
        case list(), list():
            # Each kind of entry that is shown comes; there may be others.
            return all(any(shows(each, one) for one in answered) for each in shown)
        case _:
            return type(shown) is type(answered) or {type(shown), type(answered)} == {int, float}


def test_a_field_too_many_or_too_few_is_noticed() -> None:
    shown = {"a": 1, "b": [{"c": "x"}, {"d": "y"}]}
    assert shows(shown, {"a": 2.5, "b": [{"d": ""}, {"c": ""}, {"e": 1}]})
    assert not shows(shown, {"a": 2, "b": [{"c": "x"}]})
    assert not shows(shown, {"a": 2})
    assert not shows(shown, shown | {"e": 1})
    assert not shows(shown, shown | {"a": "1"})
