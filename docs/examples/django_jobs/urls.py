"""The routes of the project."""

from django.urls import path

from django_jobs.views import complete_job

urlpatterns = [path("jobs/<uuid:job_id>", complete_job)]
