"""The data that the examples of the document speak of, by the same ids."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from attrs import evolve

from notification_core.model.api_key import ApiKey
from notification_core.model.caller import Scope
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryState,
    EndReason,
    ErrorCode,
    NewDelivery,
    ReceivedResponse,
    Retry,
    Succeeded,
)
from notification_core.model.event import Event, EventToStore, body_of
from notification_core.model.message import DeadLetter, Message
from notification_core.model.phases import REUSED, Phases
from notification_core.model.replay import Replay, Selection
from notification_core.model.request_records import AuditEntry
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import Webhook
from tests.entrypoints.api_services import LEASE, Backstage, attempt_of
from tests.entrypoints.checked_api import DOCUMENT
from tests.support.dead_letters import a_dead_letter, an_event_by_now, bury, bury_as
from tests.support.samples import a_portal_session

PARAMETERS = DOCUMENT["components"]["parameters"]
ENVIRONMENT = UUID(PARAMETERS["EnvironmentId"]["example"])
WEBHOOK = UUID(PARAMETERS["WebhookId"]["example"])
DELIVERY = UUID(PARAMETERS["DeliveryId"]["example"])
EVENT = PARAMETERS["EventId"]["example"]
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
LATER = datetime(2099, 1, 1, tzinfo=UTC)

OPENED = Phases(*(timedelta(milliseconds=took) for took in (1, 8, 17, 13)))
"""What an attempt on a new connection took; it was not read for."""

IDS = {each["name"]: each["example"] for each in PARAMETERS.values() if each["in"] == "path"}


async def furnish(stage: Backstage) -> None:
    """Put into storage what the examples speak of."""
    await stage.storage.erasures.begin(ENVIRONMENT, NOW)
    assert (await stage.storage.erasures.advance(ENVIRONMENT, 1)).is_last
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
        signing_secrets=(
            SigningSecret(UUID(IDS["secret_id"]), b"2" * 24, LATER),
            SigningSecret(UUID(int=1), b"1" * 24, NOW, LATER),
        ),
    )
    await stage.storage.webhooks.add(webhook, 1, [changed_by_somebody(ENVIRONMENT)])
    last = UUID(int=DELIVERY.int - 1)
    await store(stage, EVENT, skipped(EVENT, last), NewDelivery(DELIVERY, *address(EVENT)))
    await attempt(stage, fails=True)
    another = NewDelivery(UUID(int=last.int - 1), *address("job-6-completed"))
    await store(stage, "job-6-completed", another)
    await attempt(stage, fails=False)
    await issue(stage)
    session = a_portal_session(UUID(IDS["session_id"]), ENVIRONMENT, stage.application.clock.now())
    unnamed = evolve(session, session_id=UUID(int=1), name=None)
    for each in (session, unnamed):
        await stage.storage.portal_sessions.add(each)
    await stage.application.signing_keys.published(ENVIRONMENT)
    await bury(stage.storage, DeadLetter(Message("job-events", 0, 7, 0, b"{oops"), "No event."))
    letter = a_dead_letter(an_event_by_now(ENVIRONMENT), offset=1)
    await bury_as(stage.storage, UUID(IDS["letter_id"]), letter)


async def replay(stage: Backstage) -> None:
    """Begin a replay that has made some deliveries already."""
    selection = Selection(NOW, LATER, frozenset({DeliveryState.FAILED}))
    replay = Replay(UUID(IDS["replay_id"]), ENVIRONMENT, WEBHOOK, selection, NOW)
    await stage.storage.replays.add(evolve(replay, replayed=730, done_until=NOW))


def changed_by_somebody(environment_id: UUID | None = None) -> AuditEntry:
    """Return an entry of the audit log."""
    return AuditEntry(uuid4(), NOW, "key:1", "203.0.113.7", "a", "s", "r", environment_id)


async def issue(stage: Backstage) -> None:
    """Make two API keys, of which one was revoked."""
    one = ApiKey(UUID(IDS["key_id"]), "n", Scope.WRITE, frozenset({ENVIRONMENT}), b"", NOW, LATER)
    everything = ApiKey(UUID(int=1), "n", Scope.ADMIN, None, b"", NOW, revoked_at=NOW)
    for key in (one, everything):
        await stage.storage.api_keys.add(key, [changed_by_somebody()])


def address(event_id: str) -> tuple[UUID, UUID, str]:
    return ENVIRONMENT, WEBHOOK, event_id


def skipped(event_id: str, delivery_id: UUID) -> NewDelivery:
    return NewDelivery(
        delivery_id, *address(event_id), DeliveryState.SKIPPED, EndReason.WEBHOOK_DISABLED
    )


async def store(stage: Backstage, event_id: str, *deliveries: NewDelivery) -> None:
    event = Event(event_id, ENVIRONMENT, "job-completed", NOW, b"{}")
    async with stage.storage.deliveries.ingesting() as transaction:
        await transaction.add_events([EventToStore(event, body_of(event))])
        await transaction.add_deliveries(deliveries, None, LEASE)


async def attempt(stage: Backstage, *, fails: bool) -> None:
    """Make the attempt that is due."""
    (claimed,) = await stage.begin(1)
    if fails:
        await stage.end(failed(claimed), claimed, Retry(timedelta(hours=1)))
    else:
        await stage.end(attempt_of(claimed, phases=OPENED), claimed, Succeeded())


def failed(claimed: ClaimedDelivery) -> Attempt:
    return attempt_of(
        claimed,
        outcome=AttemptOutcome.FAILED,
        error=AttemptError(ErrorCode.HTTP_STATUS, "The receiver responded with 500."),
        response=ReceivedResponse(500, (), b"out of disk"),
        instance="notifications-7d9f4c-x2k8p",
        phases=REUSED,
    )
