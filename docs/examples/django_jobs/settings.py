"""The settings of the project; what differs between installations is in the environment."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
INSTALLED_APPS = ["django_jobs"]
ROOT_URLCONF = "django_jobs.urls"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", "jobs.sqlite3"),
    }
}

NOTIFICATION_API_URL = os.environ.get("NOTIFICATION_API_URL", "http://127.0.0.1:3615/api")
NOTIFICATION_API_KEY = os.environ.get("NOTIFICATION_API_KEY")
NOTIFICATION_ENVIRONMENT = os.environ["NOTIFICATION_ENVIRONMENT"]

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "amqp://127.0.0.1/")
CELERY_BEAT_SCHEDULE = {  # for events whose task was lost, or failed
    "send the outbox": {"task": "django_jobs.outbox.send_outbox", "schedule": 5.0},
}
