"""A Django project that publishes through an outbox of its own, which Celery empties."""
