"""What can go wrong with a command, and the exit code that tells a program which it was."""

from collections.abc import Sequence
from enum import IntEnum
from http import HTTPStatus

from notification_core.errors import (
    DeadLetterNotFound,
    Detail,
    InvalidInput,
    InvalidSettings,
    InvalidSignature,
    KeyServiceUnavailable,
    NotificationError,
    StorageUnavailable,
    WebhookNotFound,
)
from notification_entrypoints.serving.worker_channel import WorkerRefused


class Exit(IntEnum):
    """How a command ended; a number never changes its meaning."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    REFUSED = 4
    NOT_FOUND = 5
    NOT_VERIFIED = 6
    SETTINGS = 7
    DENIED = 8
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What a program that reads the number may do."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "Success.",
    Exit.FAILED: "Failure; the message says why.",
    Exit.USAGE: "Usage error: an option, an argument, a missing file.",
    Exit.UNAVAILABLE: "API, ops server, storage or Vault is unavailable: retry later.",
    Exit.REFUSED: "The input is invalid: correct it, a retry does not help.",
    Exit.NOT_FOUND: "Not found.",
    Exit.NOT_VERIFIED: "The request's signature is invalid.",
    Exit.SETTINGS: "A setting is wrong; the message names the variable.",
    Exit.DENIED: "Authentication failed or insufficient scope: see NOTIFICATION_API_KEY.",
    Exit.INTERRUPTED: "Interrupted by Ctrl-C or SIGTERM.",
}

DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""The statuses of an API that does not let a caller do something."""


class CommandFailed(NotificationError):
    """A command could not do what it was asked for; the message says what helps."""


class ApiUnavailable(NotificationError):
    """The API cannot be reached or has no time: asking again later may help."""


class ApiRefused(NotificationError):
    """The API refuses a request.

    ``details`` names the fields; ``events`` are the places of the events that it was to publish.
    """

    def __init__(self, status: int, message: str, details: Sequence[Detail]) -> None:
        refusals = "; ".join(f"{detail.field}: {detail.message}" for detail in details)
        super().__init__(f"The API refuses this: {refusals}" if refusals else message)
        self.status = status
        self.details = tuple(details)
        self.events = range(0)


_EXITS: tuple[tuple[type[BaseException], Exit], ...] = (
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (ApiUnavailable, Exit.UNAVAILABLE),
    (StorageUnavailable, Exit.UNAVAILABLE),
    (KeyServiceUnavailable, Exit.UNAVAILABLE),
    (WebhookNotFound, Exit.NOT_FOUND),
    (DeadLetterNotFound, Exit.NOT_FOUND),
    (InvalidSettings, Exit.SETTINGS),
    (InvalidSignature, Exit.NOT_VERIFIED),
    (InvalidInput, Exit.REFUSED),
)


def exit_of(error: BaseException) -> Exit:
    """Return how a command ends that this error ended; the error behind it says more."""
    if isinstance(error, CommandFailed) and error.__cause__ is not None:
        return exit_of(error.__cause__)
    if isinstance(error, WorkerRefused):
        return Exit(error.exit_code)
    if isinstance(error, ApiRefused):
        if error.status in DENIED:
            return Exit.DENIED
        if error.status == HTTPStatus.NOT_FOUND:
            return Exit.NOT_FOUND
        is_failure = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return Exit.FAILED if is_failure else Exit.REFUSED
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILED)
