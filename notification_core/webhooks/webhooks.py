"""Webhooks: what a customer may make of one, and what a change of one brings about."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from attrs import asdict, evolve, field, frozen

from notification_core.environments.directory import Environments
from notification_core.errors import (
    DestinationRefused,
    Detail,
    InvalidInput,
    InvalidWebhook,
    WebhookChanged,
    WebhookOutdated,
)
from notification_core.ingest.event_filters import EventFilters
from notification_core.model.circuit_breaker import closes_breaker
from notification_core.model.custom_headers import check_custom_headers, restored
from notification_core.model.destinations import DestinationPolicy, check_url, has_same_origin
from notification_core.model.event_types import EventCatalogue, EventCatalogues
from notification_core.model.rate_limit import rate_limit_errors
from notification_core.model.request_records import RecordsOf, RequestRecords, records_for
from notification_core.model.retry_overrides import (
    RetryOverrides,
    validate_retry,
    validate_timeout,
)
from notification_core.model.text import validate_text
from notification_core.model.webhook import Method, Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.webhooks import WebhookStore

MAX_NAME_LENGTH = 256
MAX_DESCRIPTION_LENGTH = 4096

# Writers that come between reading a webhook and writing it; more than a few are no coincidence.
_MAX_OVERTAKEN = 5


@frozen
class WebhookDraft:
    """What a customer says of a webhook: all that is theirs to choose.

    ``events`` are as they came, so that repetitions can be told. A mask among the values of
    ``custom_headers`` keeps the stored value of that header, unless the origin of ``url`` changes.
    What is left out is None or has its default.
    Each field is one of :class:`Webhook` too.
    """

    name: str
    url: str
    events: Sequence[str]
    method: Method = Method.POST
    description: str | None = None
    filter: str | None = None
    retry: RetryOverrides | None = None
    timeout: timedelta | None = None
    ordered: bool = False
    disabled_until: datetime | None = None
    custom_headers: Mapping[str, str] | None = field(default=None, repr=False)
    rate_limit: int | None = None


@frozen
class WebhookRules:
    """What an installation allows.

    ``reserved_headers`` are the names of the configured signature headers; the event types that
    can be subscribed to are those of the ``catalogues``; an environment has at most
    ``max_webhooks``; a webhook's own time limit for an attempt is at most ``max_timeout``.
    """

    destinations: DestinationPolicy
    reserved_headers: Collection[str]
    catalogues: EventCatalogues
    max_webhooks: int
    max_timeout: timedelta


class WebhookService:
    """Lists, creates, reads, replaces and deletes the webhooks of an environment.

    Each method raises :class:`StorageUnavailable`, and where it takes a webhook's id
    :class:`WebhookNotFound`, also for a webhook of another environment. ``on_webhooks_changed`` is
    called with the webhooks' revision before a change is answered, so that this process acts on it
    at once.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators, one by one
        self,
        store: WebhookStore,
        clock: Clock,
        ids: Callable[[], UUID],
        rules: WebhookRules,
        environments: Environments,
        filters: EventFilters,
        on_webhooks_changed: Callable[[int], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._rules = rules
        self._environments = environments
        self._filters = filters
        self._on_webhooks_changed = on_webhooks_changed

    async def list(self, environment_id: UUID) -> Sequence[Webhook]:
        """Return all webhooks of an environment, oldest first."""
        return await self._store.list(environment_id)

    async def get(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        """Return one webhook."""
        return await self._store.get(environment_id, webhook_id)

    async def create(
        self,
        environment_id: UUID,
        draft: WebhookDraft,
        make_records: RecordsOf[Webhook] | None = None,
    ) -> Webhook:
        """Store a new webhook and return it.

        Raises :class:`InvalidWebhook`, which names all that is wrong,
        :class:`EnvironmentNotFound`, :class:`DirectoryUnavailable`, :class:`TooManyWebhooks`, and
        :class:`ResponseAlreadyStored` if the request whose response ``make_records`` makes has one.
        """
        self._check(environment_id, draft, None)
        await self._environments.require(environment_id)
        now = self._clock.now()
        blank = Webhook(
            webhook_id=self._ids(),
            environment_id=environment_id,
            name=draft.name,
            url=draft.url,
            events=frozenset(),
            created_at=now,
            updated_at=now,
        )
        webhook = _drawn_over(blank, draft)
        await self._store.add(webhook, self._rules.max_webhooks, records_for(make_records, webhook))
        return webhook

    async def replace(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        draft: WebhookDraft,
        expected: Collection[int] | None = None,
        records: RequestRecords = (),
    ) -> Webhook:
        """Make a webhook what the draft says and return it, as :meth:`change` does."""
        return await self.change(environment_id, webhook_id, lambda _: draft, expected, records)

    async def change(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        redraft: Callable[[Webhook], WebhookDraft],
        expected: Collection[int] | None = None,
        records: RequestRecords = (),
    ) -> Webhook:
        """Make a webhook what ``redraft`` says of the stored one; the last one who writes wins.

        Masked header values stay as they are; if the scheme, host or port of ``url`` changes, every
        header must be given in clear or left out. A ``disabled_until`` that differs from the stored
        one, or is left out, takes the system's own reason away. A draft of what is stored
        already changes nothing. Raises :class:`InvalidWebhook`, which names all that is wrong,
        and :class:`WebhookOutdated` where the stored version is none of those ``expected``.
        """
        for _ in range(_MAX_OVERTAKEN):
            stored = await self._expected(environment_id, webhook_id, expected)
            draft = redraft(stored)
            self._check(environment_id, draft, stored)
            changed = _drawn_over(stored, draft)
            if changed == stored:
                await self._store.confirm(stored)
                return stored
            changed = evolve(changed, version=stored.version + 1, updated_at=self._clock.now())
            resets_health = closes_breaker(stored, changed)
            try:
                self._on_webhooks_changed(
                    await self._store.replace(changed, records, resets_health=resets_health)
                )
            except WebhookChanged:
                continue
            return changed
        raise WebhookChanged(webhook_id)

    async def delete(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        expected: Collection[int] | None = None,
        records: RequestRecords = (),
    ) -> None:
        """Delete a webhook; what it still waits for is cancelled.

        Raises :class:`WebhookOutdated` where the stored version is none of those ``expected``.
        """
        version = None
        for _ in range(_MAX_OVERTAKEN):
            if expected is not None:
                stored = await self._expected(environment_id, webhook_id, expected)
                version = stored.version
            now = self._clock.now()
            try:
                changes = await self._store.delete(
                    environment_id, webhook_id, now, version, records
                )
            except WebhookChanged:
                continue
            self._on_webhooks_changed(changes)
            return
        raise WebhookChanged(webhook_id)

    async def _expected(
        self, environment_id: UUID, webhook_id: UUID, versions: Collection[int] | None
    ) -> Webhook:
        """Return a webhook, if it is at one of these versions."""
        stored = await self._store.get(environment_id, webhook_id)
        if versions is not None and stored.version not in versions:
            raise WebhookOutdated(webhook_id)
        return stored

    def validate(
        self,
        environment_id: UUID,
        draft: WebhookDraft,
        stored_events: Collection[str] = (),
    ) -> Sequence[Detail]:
        """Return all that is wrong with a draft, masks apart; nothing if it is good.

        ``stored_events`` are those that the webhook already has, and may keep.
        """
        catalogue = self._rules.catalogues.of(environment_id)
        details = [*_errors(draft, self._rules, catalogue, stored_events)]
        return [*details, *self._filters.validate(draft.filter)] if draft.filter else details

    def unknown_events(self, webhook: Webhook) -> Sequence[str]:
        """Return the event types of a webhook that are not in the catalogue any more."""
        return self._rules.catalogues.of(webhook.environment_id).unknown(webhook.events)

    def _check(self, environment_id: UUID, draft: WebhookDraft, stored: Webhook | None) -> None:
        """Raise :class:`InvalidWebhook` unless the stored or a new webhook may become this."""
        details = [*self.validate(environment_id, draft, stored.events if stored else ())]
        try:
            restored(
                draft.custom_headers or {},
                {} if stored is None else _headers_to_keep(stored, draft),
            )
        except InvalidInput as refused:
            details += refused.details
        if details:
            raise InvalidWebhook.of("The webhook", details)


def _drawn_over(webhook: Webhook, draft: WebhookDraft) -> Webhook:
    """Return the webhook with every field of the draft, which has been checked."""
    until = draft.disabled_until and draft.disabled_until.astimezone(UTC)
    stays = until == webhook.disabled_until
    return evolve(
        webhook,
        **asdict(draft, recurse=False)
        | {
            "events": frozenset(draft.events),
            "disabled_until": until,
            "disabled_reason": webhook.disabled_reason if stays else None,
            "disabled_at": webhook.disabled_at if stays else None,
            "custom_headers": restored(
                draft.custom_headers or {}, _headers_to_keep(webhook, draft)
            ),
        },
    )


def _headers_to_keep(stored: Webhook, draft: WebhookDraft) -> Mapping[str, str]:
    """Return the header values that a mask may keep: none goes to another receiver unseen."""
    headers = stored.custom_headers
    return headers if headers and has_same_origin(stored.url, draft.url) else {}


def _errors(
    draft: WebhookDraft,
    rules: WebhookRules,
    catalogue: EventCatalogue,
    stored_events: Collection[str],
) -> Iterator[Detail]:
    if not draft.name:
        yield Detail("name", f"The name is empty. Give 1 to {MAX_NAME_LENGTH} characters.")
    yield from validate_text("name", draft.name, MAX_NAME_LENGTH)
    try:
        check_url(draft.url, rules.destinations)
    except DestinationRefused as refused:
        yield Detail("url", str(refused))
    yield from catalogue.subscription_errors(draft.events, stored_events)
    if draft.description is not None:
        yield from validate_text("description", draft.description, MAX_DESCRIPTION_LENGTH)
    if draft.disabled_until is not None:
        if draft.disabled_until.utcoffset() is None:
            yield Detail("disabled_until", "The time has no offset from UTC. Give one, such as Z.")
        else:
            try:
                draft.disabled_until.astimezone(UTC)
            except OverflowError:
                problem = "The time is not within the years 1 to 9999 in UTC."
                yield Detail("disabled_until", problem)
    yield from rate_limit_errors(draft.rate_limit)
    if draft.custom_headers is not None:
        yield from check_custom_headers(draft.custom_headers, rules.reserved_headers)
    if draft.retry is not None:
        yield from validate_retry(draft.retry)
    if draft.timeout is not None:
        yield from validate_timeout(draft.timeout, rules.max_timeout)
