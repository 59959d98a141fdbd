"""For tests of receivers: a service in memory that signs and delivers, as fixtures of pytest.

In a ``conftest.py``::

    pytest_plugins = ["notification_adapters.testing"]

Then tests can ask for ``notification_service``, ``deliver`` and ``webhook_receiver``. Needs the
extra ``testing``. Without pytest the same is :class:`LocalService` and :class:`RecordingReceiver`,
both context managers.
"""

from notification_adapters.testing.fixtures import deliver, notification_service, webhook_receiver
from notification_adapters.testing.recording_receiver import RecordedRequest, RecordingReceiver
from notification_adapters.testing.service import LocalService

__all__ = [
    "LocalService",
    "RecordedRequest",
    "RecordingReceiver",
    "deliver",
    "notification_service",
    "webhook_receiver",
]
