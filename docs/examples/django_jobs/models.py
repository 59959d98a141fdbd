"""What the project stores: jobs, and the events that are not published yet."""

from uuid import uuid4

from django.db import models
from django.utils import timezone


class Job(models.Model):
    """A job that has completed."""

    job_id = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        """Return its id."""
        return str(self.job_id)


class OutboxEvent(models.Model):
    """An event that is to be published; the row's key is the event's id."""

    event_id = models.UUIDField(primary_key=True, default=uuid4)
    event = models.CharField(max_length=64)
    data = models.JSONField()
    occurred_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        """Return its type and id."""
        return f"{self.event} {self.event_id}"
