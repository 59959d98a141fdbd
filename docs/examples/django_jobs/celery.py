"""The Celery application: ``celery -A django_jobs.celery worker --beat``."""

import django
from celery import Celery

django.setup()

app = Celery("django_jobs")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(related_name="outbox", force=True)
