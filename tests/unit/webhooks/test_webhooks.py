"""Subscribing, on memory: what a webhook may be, and what a change of one brings about."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from notification_adapters.event_formats.catalogue import operational_catalogue
from notification_core.errors import (
    InvalidWebhook,
    TooManyWebhooks,
    WebhookChanged,
    WebhookNotFound,
    WebhookOutdated,
)
from notification_core.model.destinations import DestinationPolicy
from notification_core.model.event_types import EventCatalogue, EventCatalogues
from notification_core.model.request_records import RequestRecords
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.ports.webhooks import WebhookStore
from notification_core.webhooks.webhooks import (
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    WebhookDraft,
    WebhookRules,
)
from tests.support.assembly import MemoryApp
from tests.support.samples import CATALOGUE, ENVIRONMENT, an_id

OPERATIONAL = an_id()
RULES = WebhookRules(
    destinations=DestinationPolicy(),
    reserved_headers=frozenset({"x-signature"}),
    catalogues=EventCatalogues(
        EventCatalogue({name: CATALOGUE.types[name] for name in ("job-created", "job-completed")}),
        operational_catalogue(),
        OPERATIONAL,
    ),
    max_webhooks=2,
    max_timeout=timedelta(seconds=10),
)
DRAFT = WebhookDraft(name="Jobs", url="https://example.com/", events=("job-created",))


@pytest.fixture
def app() -> MemoryApp:
    return MemoryApp(webhook_rules=RULES)


async def create(app: MemoryApp, **fields: Any) -> Webhook:
    return await app.webhooks.create(ENVIRONMENT, evolve(DRAFT, **fields))


async def replace(app: MemoryApp, webhook: Webhook, **fields: Any) -> Webhook:
    return await app.webhooks.replace(ENVIRONMENT, webhook.webhook_id, evolve(DRAFT, **fields))


async def stored(app: MemoryApp, webhook: Webhook) -> Webhook:
    return await app.storage.webhooks.get(ENVIRONMENT, webhook.webhook_id)


async def test_a_new_webhook_is_stored_as_drafted(app: MemoryApp) -> None:
    webhook = await create(app, description="d", custom_headers={"X-Token": "t"})
    assert webhook == await stored(app, webhook)
    assert (webhook.name, webhook.description) == ("Jobs", "d")
    assert webhook.custom_headers == {"X-Token": "t"}
    assert webhook.created_at == webhook.updated_at == app.clock.now()
    assert list(await app.webhooks.list(ENVIRONMENT)) == [webhook]
    assert app.announced_revisions == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * (MAX_NAME_LENGTH + 1)}, "name"),
        ({"name": "a\0"}, "name"),
        ({"name": "half \ud800"}, "name"),
        ({"url": "https://localhost/"}, "url"),
        ({"events": ()}, "events"),
        ({"events": ("job-created", "job-created")}, "events"),
        ({"events": ("job-exploded",)}, "events[0]"),
        ({"description": "x" * (MAX_DESCRIPTION_LENGTH + 1)}, "description"),
        ({"description": "a\0"}, "description"),
        ({"disabled_until": datetime(2031, 1, 1)}, "disabled_until"),  # noqa: DTZ001 - what is refused
        (
            {"disabled_until": FOREVER.replace(tzinfo=timezone(timedelta(hours=-5)))},
            "disabled_until",
        ),
        ({"custom_headers": {}}, "custom_headers"),
        ({"custom_headers": {"X-Signature": "s"}}, "custom_headers.X-Signature"),
        ({"custom_headers": {"X_Signature": "s"}}, "custom_headers.X_Signature"),
        ({"custom_headers": {"Authorization": "***"}}, "custom_headers.Authorization"),
        ({"custom_headers": {"X-Region": "***"}}, "custom_headers.X-Region"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    app: MemoryApp, fields: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(InvalidWebhook) as refused:
        await create(app, **fields)
    ((field, message),) = refused.value.details
    assert field == wrong
    assert str(refused.value) == f"The webhook is refused. {wrong}: {message}"
    assert list(await app.webhooks.list(ENVIRONMENT)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x" * MAX_NAME_LENGTH},
        {"description": "x" * MAX_DESCRIPTION_LENGTH},
        {"description": ""},
        {"disabled_until": datetime(2020, 1, 1, tzinfo=UTC)},
        {"disabled_until": FOREVER},
        {"custom_headers": {f"X-{n}": "v" for n in range(10)}},
    ],
)
async def test_what_is_just_within_the_bounds_is_taken(
    app: MemoryApp, fields: dict[str, Any]
) -> None:
    webhook = await create(app, **fields)
    for name, value in fields.items():
        assert getattr(webhook, name) == value


async def test_everything_that_is_wrong_is_named_at_once(app: MemoryApp) -> None:
    headers = {"Host": "h", "X-Token": "***"}
    with pytest.raises(InvalidWebhook) as refused:
        await create(app, name="", url="x", events=("y", "z"), custom_headers=headers)
    assert [detail.field for detail in refused.value.details] == [
        "name",
        "url",
        "events[0]",
        "events[1]",
        "custom_headers.Host",
        "custom_headers.X-Token",
    ]


async def test_a_time_is_kept_in_utc(app: MemoryApp) -> None:
    east = timezone(timedelta(hours=2))
    webhook = await create(app, disabled_until=datetime(2031, 1, 1, 2, tzinfo=east))
    assert webhook.disabled_until == datetime(2031, 1, 1, tzinfo=UTC)
    assert webhook.disabled_until.tzinfo is UTC


async def test_an_environment_has_only_so_many_webhooks(app: MemoryApp) -> None:
    await create(app)
    await create(app)
    with pytest.raises(TooManyWebhooks):
        await create(app)


async def test_a_replaced_webhook_is_what_the_draft_says_and_this_process_hears_of_it(
    app: MemoryApp,
) -> None:
    webhook = await create(app, description="d", custom_headers={"X-A": "1"})
    await app.clock.advance(60)
    replaced = await replace(app, webhook, name="Other")
    assert replaced == await stored(app, webhook)
    assert (replaced.name, replaced.description, replaced.custom_headers) == ("Other", None, {})
    assert replaced.updated_at - replaced.created_at == timedelta(seconds=60)
    assert app.announced_revisions == [await app.storage.webhooks.webhooks_revision()]


async def test_a_draft_of_what_is_stored_changes_nothing(app: MemoryApp) -> None:
    headers = {"Authorization": "Bearer t", "X-Tenant": "north"}
    webhook = await create(app, custom_headers=headers)
    await app.clock.advance(60)
    masks = {"Authorization": "***", "X-Tenant": "north"}
    assert await replace(app, webhook, custom_headers=masks) == webhook
    assert await stored(app, webhook) == webhook
    assert app.announced_revisions == []


async def test_a_mask_stands_for_the_stored_value_of_that_header(app: MemoryApp) -> None:
    webhook = await create(app, custom_headers={"X-Token": "t", "X-Secret": "s"})
    replaced = await replace(app, webhook, custom_headers={"x-token": "***", "X-B": "b"})
    assert replaced.custom_headers == {"x-token": "t", "X-B": "b"}


@pytest.mark.parametrize(
    "url",
    ["http://example.com/hook", "https://example.org/hook", "https://example.com:8443/hook"],
)
async def test_no_stored_value_goes_to_another_origin_unless_it_is_given_again(
    app: MemoryApp, url: str
) -> None:
    headers = {"X-Token": "t", "X-Tenant": "north"}
    webhook = await create(app, url="https://example.com/hook", custom_headers=headers)
    for kept, wrong in (
        ({"X-Tenant": "***"}, "X-Tenant"),
        (headers | {"X-Token": "***"}, "X-Token"),
    ):
        with pytest.raises(InvalidWebhook) as refused:
            await replace(app, webhook, url=url, custom_headers=kept)
        assert [detail.field for detail in refused.value.details] == [f"custom_headers.{wrong}"]
        assert await stored(app, webhook) == webhook
    replaced = await replace(app, webhook, url=url, custom_headers=headers)
    assert (replaced.url, replaced.custom_headers) == (url, headers)


@pytest.mark.parametrize("url", ["https://EXAMPLE.com:443/other?a=1", "https://example.com"])
async def test_a_mask_keeps_its_value_as_long_as_the_origin_stays(app: MemoryApp, url: str) -> None:
    webhook = await create(app, url="https://example.com/hook", custom_headers={"X-Token": "t"})
    replaced = await replace(app, webhook, url=url, custom_headers={"X-Token": "***"})
    assert (replaced.url, replaced.custom_headers) == (url, {"X-Token": "t"})


class TestAWebhookThatTheSystemDisabled:
    @pytest.fixture
    async def webhook(self, app: MemoryApp) -> Webhook:
        webhook = await create(app)
        disabled = evolve(
            webhook,
            disabled_until=FOREVER,
            disabled_reason=DisabledReason.FAILING,
            disabled_at=app.clock.now(),
            version=webhook.version + 1,
        )
        await app.storage.webhooks.replace(disabled)
        return disabled

    async def test_stays_so_when_its_time_stays(self, app: MemoryApp, webhook: Webhook) -> None:
        replaced = await replace(app, webhook, name="Other", disabled_until=FOREVER)
        assert replaced.disabled_reason is DisabledReason.FAILING
        assert replaced.disabled_at == webhook.disabled_at

    async def test_is_enabled_when_its_time_is_removed(
        self, app: MemoryApp, webhook: Webhook
    ) -> None:
        replaced = await replace(app, webhook)
        assert not replaced.is_disabled(app.clock.now())
        assert (replaced.disabled_reason, replaced.disabled_at) == (None, None)

    async def test_is_the_customers_own_affair_when_its_time_is_set(
        self, app: MemoryApp, webhook: Webhook
    ) -> None:
        until = app.clock.now() + timedelta(days=1)
        replaced = await replace(app, webhook, disabled_until=until)
        assert replaced.is_disabled(app.clock.now())
        assert (replaced.disabled_reason, replaced.disabled_at) == (None, None)


async def test_a_deleted_webhook_is_gone_and_this_process_hears_of_it(app: MemoryApp) -> None:
    webhook = await create(app)
    await app.webhooks.delete(ENVIRONMENT, webhook.webhook_id)
    assert app.announced_revisions == [await app.storage.webhooks.webhooks_revision()]
    with pytest.raises(WebhookNotFound):
        await app.webhooks.get(ENVIRONMENT, webhook.webhook_id)


async def test_another_environments_webhook_is_as_good_as_none(app: MemoryApp) -> None:
    webhook = await create(app)
    stranger = uuid4()
    with pytest.raises(WebhookNotFound):
        await app.webhooks.get(stranger, webhook.webhook_id)
    with pytest.raises(WebhookNotFound):
        await app.webhooks.replace(stranger, webhook.webhook_id, DRAFT)
    with pytest.raises(WebhookNotFound):
        await app.webhooks.delete(stranger, webhook.webhook_id)
    assert await stored(app, webhook) == webhook


class OvertakenStore:
    """A store in which somebody else is always a little faster, so many times."""

    def __init__(self, store: WebhookStore, times: int) -> None:
        self._store = store
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def replace(
        self, webhook: Webhook, records: RequestRecords = (), *, resets_health: bool = False
    ) -> int:
        await self._overtake(webhook.environment_id, webhook.webhook_id)
        return await self._store.replace(webhook, records, resets_health=resets_health)

    async def delete(self, environment_id: UUID, webhook_id: UUID, *rest: Any) -> int:
        await self._overtake(environment_id, webhook_id)
        return await self._store.delete(environment_id, webhook_id, *rest)

    async def _overtake(self, environment_id: UUID, webhook_id: UUID) -> None:
        if self._times:
            self._times -= 1
            stored = await self._store.get(environment_id, webhook_id)
            theirs = evolve(stored, version=stored.version + 1, name="theirs")
            await self._store.replace(theirs)


async def test_the_last_one_who_writes_wins(app: MemoryApp) -> None:
    webhook = await create(app)
    overtaken = app.with_stores(webhooks=OvertakenStore(app.storage.webhooks, times=2))
    draft = evolve(DRAFT, name="Mine")
    replaced = await overtaken.webhooks.replace(ENVIRONMENT, webhook.webhook_id, draft)
    assert replaced == await stored(app, webhook)
    assert replaced.name == "Mine"


async def test_one_who_is_always_overtaken_is_told_so(app: MemoryApp) -> None:
    webhook = await create(app)
    overtaken = app.with_stores(webhooks=OvertakenStore(app.storage.webhooks, times=100))
    with pytest.raises(WebhookChanged):
        await overtaken.webhooks.replace(
            ENVIRONMENT, webhook.webhook_id, evolve(DRAFT, name="Mine")
        )


def test_a_draft_does_not_show_its_header_values() -> None:
    assert "hunter2" not in repr(evolve(DRAFT, custom_headers={"Authorization": "hunter2"}))


class TestAnExpectedVersion:
    async def test_it_is_changed_and_deleted(self, app: MemoryApp) -> None:
        webhook = await create(app)
        key = ENVIRONMENT, webhook.webhook_id
        replaced = await app.webhooks.replace(
            *key, evolve(DRAFT, name="Other"), {webhook.version, 77}
        )
        await app.webhooks.delete(*key, {replaced.version})
        with pytest.raises(WebhookNotFound):
            await stored(app, webhook)

    async def test_another_is_neither_changed_nor_deleted(self, app: MemoryApp) -> None:
        webhook = await create(app)
        key = ENVIRONMENT, webhook.webhook_id
        with pytest.raises(WebhookOutdated):
            await app.webhooks.replace(*key, evolve(DRAFT, name="Other"), {77})
        with pytest.raises(WebhookOutdated):
            await app.webhooks.delete(*key, ())
        assert await stored(app, webhook) == webhook

    async def test_one_that_is_overtaken_is_not_deleted(self, app: MemoryApp) -> None:
        webhook = await create(app)
        overtaken = app.with_stores(webhooks=OvertakenStore(app.storage.webhooks, times=1))
        with pytest.raises(WebhookOutdated):
            await overtaken.webhooks.delete(ENVIRONMENT, webhook.webhook_id, {webhook.version})
        assert (await stored(app, webhook)).name == "theirs"


async def test_a_change_is_made_of_what_is_stored_when_it_is_written(app: MemoryApp) -> None:
    webhook = await create(app)
    overtaken = app.with_stores(webhooks=OvertakenStore(app.storage.webhooks, times=1))
    changed = await overtaken.webhooks.change(
        ENVIRONMENT,
        webhook.webhook_id,
        lambda current: evolve(DRAFT, name=current.name, description="mine"),
    )
    assert (changed.name, changed.description) == ("theirs", "mine")
