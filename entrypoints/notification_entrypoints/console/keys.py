"""What the pages find in their application."""

from collections.abc import Mapping

from aiohttp import web

from notification_entrypoints.api.endpoint import Endpoint
from notification_entrypoints.api.http.requests import BodyMemory
from notification_entrypoints.bootstrap.application import Application

APPLICATION = web.AppKey("application", Application)
"""The use cases of the process."""

OPERATIONS: web.AppKey[Mapping[str, Endpoint]] = web.AppKey("operations")
"""The operations of the API, by their operationId."""

MEMORY = web.AppKey("memory", BodyMemory)
"""The memory for bodies, which is the API's."""
