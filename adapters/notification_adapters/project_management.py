"""The directory of environments behind the platform's Project Management API."""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, DummyCookieJar
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from notification_core.errors import DirectoryUnavailable
from notification_core.ports.environments import EnvironmentDirectory

TOTAL = timedelta(seconds=3)
"""How long a question may take, repetitions included: a person waits for the response."""

_ATTEMPT = timedelta(seconds=1)
_LONGEST_PAUSE = 0.5
_MEANING: Mapping[int, bool] = {HTTPStatus.OK: True, HTTPStatus.NOT_FOUND: False}
_PASSING = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


class _TryAgain(DirectoryUnavailable):
    """A response that another attempt may well change."""


class ProjectManagementApi(EnvironmentDirectory):
    """Asks ``GET {uri}/environments/{environment_id}``; to be made where an event loop runs.

    Only the status counts: of the response's body nothing is read, so that its size is no matter.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._session = ClientSession(
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=_ATTEMPT.total_seconds()),
            trust_env=False,
        )

    async def exists(self, environment_id: UUID) -> bool:
        """Tell whether an environment exists; ask again for a while where no response comes."""
        asking = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_delay(TOTAL - _ATTEMPT),
            wait=wait_random_exponential(multiplier=0.05, max=_LONGEST_PAUSE),
            reraise=True,
        )
        return await asking(self._ask, environment_id)

    async def close(self) -> None:
        """Close idle connections."""
        await self._session.close()

    async def _ask(self, environment_id: UUID) -> bool:
        status = await self._status(f"{self._uri}/environments/{environment_id}")
        if status in _PASSING:
            raise _TryAgain(f"The Project Management API returned {status}.")
        if status not in _MEANING:
            raise DirectoryUnavailable(
                f"The Project Management API returned {status}; 200 or 404 is expected."
            )
        return _MEANING[status]

    async def _status(self, url: str) -> int:
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                return response.status
        except (ClientConnectionError, TimeoutError) as error:
            raise _TryAgain("The Project Management API does not answer.") from error
        except ClientError as error:
            raise DirectoryUnavailable(
                "The Project Management API gives a response that is not HTTP."
            ) from error
