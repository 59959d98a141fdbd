"""What a call of the API can fail with."""

from collections.abc import Sequence

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with a field of a request, named as ``[3].data.status``."""

    field: str
    message: str


class ClientError(Exception):
    """Every error that this client raises."""


class ApiUnavailable(ClientError):
    """The API could not be reached, or asked to try again later, until the time was over.

    ``status`` is that of its last response, None if there was none, and ``reason`` what it says
    there, None if that is not an error of this API. An event that was being published may be
    stored; publishing it again under its id is safe.
    """

    def __init__(self, message: str, status: int | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotOurApi(ClientError):
    """Something else answers at the URL, with this ``status``: check host, port and path."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiRefused(ClientError):
    """The API refused a request; trying again does not help.

    ``status`` is the HTTP status, ``code`` the number in the catalogue of errors, ``details`` name
    the fields, and ``request_id`` finds the request in the server's log. When events are published,
    ``events`` are the places of those in the request, counted from the first that was handed in.
    """

    def __init__(  # noqa: PLR0913 - what an error of the API says
        self,
        status: int,
        code: int,
        message: str,
        details: Sequence[FieldError] = (),
        request_id: str = "",
        *,
        events: range = range(0),
    ) -> None:
        # The message of a refused event has its details already.
        unsaid = [detail for detail in details if detail.message not in message]
        named = "; ".join(f"{detail.field}: {detail.message}" for detail in unsaid)
        super().__init__(f"{message} ({named})" if named else message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.request_id = request_id
        self.events = events


class NotAuthorized(ApiRefused):
    """The API key is missing or invalid (401), or does not allow this (403)."""


class NotFound(ApiRefused):
    """Nothing has this id, or not in an environment that the API key is for (404)."""


class Outdated(ApiRefused):
    """The webhook was changed since its ``etag`` was read (412): read it again."""
