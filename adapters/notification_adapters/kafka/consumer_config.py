"""What is consumed, and how."""

from datetime import timedelta
from enum import StrEnum

from attrs import frozen

from notification_core.model.message import Topics

GROUP = "notification-management"
MIB = 1024 * 1024


class Start(StrEnum):
    """Where a group begins that has never consumed."""

    EARLIEST = "earliest"
    LATEST = "latest"


@frozen
class ConsumerConfig:
    """What is consumed, and how.

    A fetch waits for ``fetch_bytes``, and for ``fetch_wait`` at most.
    """

    topics: Topics
    replication_factor: int = 1
    fetch_bytes: int = MIB
    fetch_wait: timedelta = timedelta(milliseconds=250)
    start: Start = Start.EARLIEST
    group: str = GROUP
