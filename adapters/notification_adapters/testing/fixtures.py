"""The fixtures; ``pytest_plugins = ["notification_adapters.testing"]`` makes them known."""

from collections.abc import Callable, Iterator

import pytest

from notification_adapters.testing.recording_receiver import RecordingReceiver
from notification_adapters.testing.service import LocalService
from notification_core.model.delivery import ReceivedResponse


@pytest.fixture
def notification_service() -> Iterator[LocalService]:
    """Run a service in memory with an environment and a key of its own."""
    with LocalService() as service:
        yield service


@pytest.fixture
def deliver(notification_service: LocalService) -> Callable[..., ReceivedResponse]:
    """Return what sends a signed event, ``deliver(url, event_type)``, and returns the response."""
    return notification_service.deliver


@pytest.fixture
def webhook_receiver(notification_service: LocalService) -> RecordingReceiver:
    """Run a receiver on loopback that verifies by the service's keys, and records."""
    return RecordingReceiver(notification_service)
