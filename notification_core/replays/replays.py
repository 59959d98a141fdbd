"""Delivering again: one delivery that somebody asks for, or a whole range of them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from attrs import frozen

from notification_core.errors import (
    Detail,
    InvalidReplay,
    WebhookDeleted,
    WebhookDisabled,
    WebhookNotFound,
)
from notification_core.model.delivery import DeliveryOrigin, DeliveryState
from notification_core.model.read_models import DeliveryView, ReplayPage
from notification_core.model.replay import NOT_ARRIVED, Replay, ReplayCount, Selection
from notification_core.model.request_records import RecordsOf, RequestRecords, records_for
from notification_core.ports.clock import Clock
from notification_core.ports.history import History
from notification_core.ports.replays import ReplayStore
from notification_core.ports.webhooks import WebhookStore

MOST_COUNTED = 100_000
"""How many deliveries are looked at where it is only to be said how many a replay would make."""


@frozen
class ReplayDraft:
    """What a customer says of a replay.

    By default it is of all that has not arrived until now, but for what the webhook's filter kept
    back: that is made where the states are said, and ``skipped`` is one of them.
    """

    since: datetime
    until: datetime | None = None
    states: Sequence[DeliveryState] | None = None


class ReplayService:
    """Has events redelivered.

    ``wake`` is called when there is something to claim, ``started`` when a replay is to begin.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        store: ReplayStore,
        history: History,
        webhooks: WebhookStore,
        clock: Clock,
        ids: Callable[[], UUID],
        wake: Callable[[], None],
        started: Callable[[], None],
    ) -> None:
        self._store = store
        self._history = history
        self._webhooks = webhooks
        self._clock = clock
        self._ids = ids
        self._wake = wake
        self._started = started

    async def retry(
        self,
        environment_id: UUID,
        delivery_id: UUID,
        make_records: RecordsOf[DeliveryView] | None = None,
    ) -> DeliveryView:
        """Make one more delivery of an event to the same webhook, whatever happened to the first.

        It is retried like any other. Raises :class:`DeliveryNotFound`,
        :class:`WebhookDeleted`, :class:`WebhookDisabled`, :class:`EventGone`, and
        :class:`ResponseAlreadyStored` if the request whose response ``make_records`` makes has one.
        """
        retried = await self._history.delivery(environment_id, delivery_id)
        try:
            await self._check_webhook(environment_id, retried.webhook_id)
        except WebhookNotFound as error:
            raise WebhookDeleted(retried.webhook_id) from error
        now = self._clock.now()
        made = DeliveryView(
            delivery_id=self._ids(),
            environment_id=environment_id,
            webhook_id=retried.webhook_id,
            event_id=retried.event_id,
            event_type=retried.event_type,
            state=DeliveryState.PENDING,
            attempt=0,
            created_at=now,
            origin=DeliveryOrigin.RETRY,
            next_attempt_at=now,
        )
        await self._store.retry(retried, made.delivery_id, records_for(make_records, made))
        self._wake()
        return made

    async def start(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        draft: ReplayDraft,
        make_records: RecordsOf[Replay] | None = None,
    ) -> Replay:
        """Begin to make the selected deliveries of a webhook once more; return how that stands.

        Raises :class:`InvalidReplay`, :class:`WebhookNotFound`, :class:`WebhookDisabled`,
        :class:`ReplayRunning`, and :class:`ResponseAlreadyStored` where the request whose response
        ``make_records`` makes was.
        """
        await self._check_webhook(environment_id, webhook_id)
        now = self._clock.now()
        replay = Replay(
            replay_id=self._ids(),
            environment_id=environment_id,
            webhook_id=webhook_id,
            selection=_selection(draft, now),
            created_at=now,
        )
        await self._store.add(replay, records_for(make_records, replay))
        self._started()
        return replay

    async def count(
        self, environment_id: UUID, webhook_id: UUID, draft: ReplayDraft
    ) -> ReplayCount:
        """Return how many deliveries a replay would make; raise :class:`InvalidReplay`."""
        selection = _selection(draft, self._clock.now())
        return await self._store.count(environment_id, webhook_id, selection, MOST_COUNTED)

    async def get(self, environment_id: UUID, webhook_id: UUID, replay_id: UUID) -> Replay:
        """Return how a replay stands; raise :class:`ReplayNotFound`."""
        return await self._store.get(environment_id, webhook_id, replay_id)

    async def of_webhook(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> ReplayPage:
        """Return a webhook's replays, newest first."""
        return await self._store.of_webhook(environment_id, webhook_id, limit, before)

    async def cancel(
        self, environment_id: UUID, webhook_id: UUID, replay_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Let a replay make nothing more; what it has made is sent. Raises as :meth:`get` does."""
        await self._store.cancel(environment_id, webhook_id, replay_id, self._clock.now(), records)

    async def _check_webhook(self, environment_id: UUID, webhook_id: UUID) -> None:
        """Refuse what could not be sent now; what changes later is checked before it is sent."""
        webhook = await self._webhooks.get(environment_id, webhook_id)
        if webhook.is_disabled(self._clock.now()):
            raise WebhookDisabled(webhook_id)


def _selection(draft: ReplayDraft, now: datetime) -> Selection:
    """Return what a draft selects; what is made from now on is never a part of it."""
    until = min(draft.until or now, now).astimezone(UTC)
    since = draft.since.astimezone(UTC)
    if since >= until:
        problem = "The time is not before until, which is now where it is left out or to come."
        details = [Detail("since", problem)]
        raise InvalidReplay.of("The replay", details)
    states = NOT_ARRIVED if draft.states is None else draft.states
    return Selection(since, until, frozenset(states), includes_filtered=draft.states is not None)
