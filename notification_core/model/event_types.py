"""The catalogue of event types: what customers can subscribe to, and what its data looks like.

The platform is the authority on its events: data that does not match its schema here is delivered
all the same. Schemas are JSON Schema 2020-12 and leave room for properties to come.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from attrs import field, frozen

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
"""A JSON value, as Python holds it."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PIPELINE_ID = "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10"
_JOB_ID = "c2f1b7de-40a8-4f3b-8f6f-5b8e6d1a9b21"
_USER_ID = "1b9cf6a8-3a57-4a4e-8f0c-6a2d8f4e7c33"

_ID: Json = {"type": "string", "format": "uuid"}
_NAME: Json = {"type": "string", "minLength": 1, "maxLength": 256}
_COUNT: Json = {"type": "integer", "minimum": 0}
_PERCENT: Json = {"type": "number", "minimum": 0, "maximum": 100}
_STATUS: Json = {"enum": ["queued", "running", "succeeded", "failed", "cancelled"]}
_FINAL_STATUS: Json = {"enum": ["succeeded", "failed", "cancelled"]}
_ERROR: Json = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}


@frozen
class EventType:
    """One kind of event. ``schema`` and ``example`` are of the event's ``data``.

    Both are shared by the whole process: they are to be read only.
    """

    name: str
    description: str
    schema: Mapping[str, Json] = field(repr=False, hash=False)
    example: Mapping[str, Json] = field(repr=False, hash=False)


def _event_type(
    name: str,
    description: str,
    *,
    required: dict[str, Json],
    optional: dict[str, Json] | None = None,
    example: dict[str, Json],
) -> EventType:
    schema: dict[str, Json] = {
        "$schema": _DIALECT,
        "title": name,
        "description": description,
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
    }
    return EventType(name, description, MappingProxyType(schema), MappingProxyType(example))


_PIPELINE_CREATED = _event_type(
    "pipeline-created",
    "A pipeline was created: it will download a source and extract its assets in jobs.",
    required={"pipeline_id": _ID, "name": _NAME, "source": _NAME},
    optional={"created_by": _ID, "size_bytes": _COUNT},
    example={
        "pipeline_id": _PIPELINE_ID,
        "name": "assembly-hall.ifc",
        "source": "upload/assembly-hall.ifc",
        "created_by": _USER_ID,
        "size_bytes": 48_318_464,
    },
)

_PIPELINE_DOWNLOAD_PROGRESS = _event_type(
    "pipeline-download-progress",
    "A pipeline has downloaded more of its source.",
    required={"pipeline_id": _ID, "progress_percent": _PERCENT},
    optional={"downloaded_bytes": _COUNT, "total_bytes": _COUNT},
    example={
        "pipeline_id": _PIPELINE_ID,
        "progress_percent": 62.5,
        "downloaded_bytes": 30_199_040,
        "total_bytes": 48_318_464,
    },
)

_PIPELINE_EXTRACTION_PROGRESS = _event_type(
    "pipeline-extraction-progress",
    "A pipeline has extracted more assets from its source.",
    required={"pipeline_id": _ID, "progress_percent": _PERCENT},
    optional={"extracted_assets": _COUNT, "total_assets": _COUNT},
    example={
        "pipeline_id": _PIPELINE_ID,
        "progress_percent": 40,
        "extracted_assets": 96,
        "total_assets": 240,
    },
)

_PIPELINE_STATUS_CHANGED = _event_type(
    "pipeline-status-changed",
    "A pipeline went from one status to another.",
    required={"pipeline_id": _ID, "previous_status": _STATUS, "status": _STATUS},
    example={"pipeline_id": _PIPELINE_ID, "previous_status": "queued", "status": "running"},
)

_PIPELINE_COMPLETED = _event_type(
    "pipeline-completed",
    "A pipeline has ended, with success or without; no more events of it will come.",
    required={"pipeline_id": _ID, "status": _FINAL_STATUS},
    optional={
        "duration_ms": _COUNT,
        "succeeded_jobs": _COUNT,
        "failed_jobs": _COUNT,
        "error": _ERROR,
    },
    example={
        "pipeline_id": _PIPELINE_ID,
        "status": "succeeded",
        "duration_ms": 184_220,
        "succeeded_jobs": 3,
        "failed_jobs": 0,
    },
)

_JOB_CREATED = _event_type(
    "job-created",
    "A pipeline has created a job, which now waits to be run.",
    required={"job_id": _ID, "pipeline_id": _ID, "kind": _NAME},
    optional={"name": _NAME},
    example={
        "job_id": _JOB_ID,
        "pipeline_id": _PIPELINE_ID,
        "kind": "geometry-conversion",
        "name": "assembly-hall.ifc / level 1",
    },
)

_JOB_STATUS_CHANGED = _event_type(
    "job-status-changed",
    "A job went from one status to another.",
    required={
        "job_id": _ID,
        "pipeline_id": _ID,
        "previous_status": _STATUS,
        "status": _STATUS,
    },
    example={
        "job_id": _JOB_ID,
        "pipeline_id": _PIPELINE_ID,
        "previous_status": "queued",
        "status": "running",
    },
)

_JOB_COMPLETED = _event_type(
    "job-completed",
    "A job has ended, with success or without; no more events of it will come.",
    required={"job_id": _ID, "pipeline_id": _ID, "status": _FINAL_STATUS},
    optional={"duration_ms": _COUNT, "output_assets": _COUNT, "error": _ERROR},
    example={
        "job_id": _JOB_ID,
        "pipeline_id": _PIPELINE_ID,
        "status": "failed",
        "duration_ms": 20_410,
        "output_assets": 0,
        "error": {"code": "unsupported-geometry", "message": "NURBS surface 812 is open."},
    },
)

EVENT_TYPES: Mapping[str, EventType] = MappingProxyType(
    {
        event_type.name: event_type
        for event_type in (
            _PIPELINE_CREATED,
            _PIPELINE_DOWNLOAD_PROGRESS,
            _PIPELINE_EXTRACTION_PROGRESS,
            _PIPELINE_STATUS_CHANGED,
            _PIPELINE_COMPLETED,
            _JOB_CREATED,
            _JOB_STATUS_CHANGED,
            _JOB_COMPLETED,
        )
    }
)
"""The event types by their names, in the order in which they are shown."""
