"""Which webhooks an event is for."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from notification_core.ingest.plan import fan_out
from notification_core.ingest.webhook_cache import by_environment
from notification_core.model.event import Event
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from tests.support.samples import NOW, a_webhook, an_event, an_id


def matching(event: Event, webhooks: Sequence[Webhook], now: datetime) -> Sequence[Webhook]:
    """Return the webhooks that get a delivery of an event."""
    environments = {event.environment_id, *(webhook.environment_id for webhook in webhooks)}
    return fan_out([[event]], by_environment(webhooks, environments), now)[event.key]


def test_an_event_is_for_the_webhooks_of_its_environment_that_subscribe_to_its_type() -> None:
    wanted = a_webhook(events=frozenset({"job-created", "pipeline-created"}))
    other_type = a_webhook(events=frozenset({"job-created"}))
    other_environment = a_webhook(environment_id=an_id())
    assert matching(an_event(), [wanted, other_type, other_environment], NOW) == [wanted]


def test_an_event_that_nobody_subscribes_to_is_for_nobody() -> None:
    assert not matching(an_event(type="job-completed"), [a_webhook()], NOW)


def test_a_deleted_webhook_gets_nothing() -> None:
    assert not matching(an_event(), [a_webhook(deleted_at=NOW)], NOW)


def test_a_webhook_that_its_user_disabled_gets_skipped_deliveries_for_as_long_as_that_lasts() -> (
    None
):
    disabled = a_webhook(disabled_until=FOREVER)
    assert matching(an_event(), [disabled], NOW + timedelta(days=365)) == [disabled]


@pytest.mark.parametrize("reason", DisabledReason)
@pytest.mark.parametrize(("hours", "skips"), [(0, 1), (120, 1), (121, 0)])
def test_skips_of_a_webhook_that_the_system_disabled_are_recorded_for_five_days(
    reason: DisabledReason, hours: int, skips: int
) -> None:
    disabled = a_webhook(disabled_until=FOREVER, disabled_reason=reason, disabled_at=NOW)
    assert len(matching(an_event(), [disabled], NOW + timedelta(hours=hours))) == skips
