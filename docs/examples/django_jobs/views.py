"""``POST /jobs/{job_id}`` stores a job and publishes an event, both or neither."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from django_jobs import outbox
from django_jobs.models import Job

PIPELINE = "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10"


@require_POST
def complete_job(_request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Store that a job has completed, and publish it."""
    data = {"job_id": str(job_id), "pipeline_id": PIPELINE, "status": "succeeded"}
    try:
        with transaction.atomic():
            outbox.publish("job-completed", data)
            Job.objects.create(job_id=job_id)
    except IntegrityError:
        # Rolled back with the transaction: the event is not published.
        return HttpResponse("This job was completed before.", status=409)
    return HttpResponse(status=201)
