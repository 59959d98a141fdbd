"""Making sure of an environment before something is made for it."""

from collections import OrderedDict
from datetime import timedelta
from uuid import UUID

from attrs import frozen

from notification_core.errors import EnvironmentBeingErased, EnvironmentNotFound
from notification_core.ports.clock import Clock
from notification_core.ports.environments import EnvironmentDirectory
from notification_core.ports.erasures import ErasureStore

EXISTS_FOR = timedelta(seconds=60)
"""How long it is believed that an environment exists."""

MISSING_FOR = timedelta(seconds=5)
"""How long it is believed that one does not: it may be made at any moment."""

_MOST_CACHED = 10_000


@frozen
class _Lookup:
    exists: bool
    until: float


class Environments:
    """Asks the directory which environments exist, and remembers it for a while.

    Those that are being erased are known by the storage, and asked for each time.
    """

    def __init__(
        self, directory: EnvironmentDirectory, erasures: ErasureStore, clock: Clock
    ) -> None:
        self._directory = directory
        self._erasures = erasures
        self._clock = clock
        self._lookups: OrderedDict[UUID, _Lookup] = OrderedDict()

    async def require(self, environment_id: UUID) -> None:
        """Return if the environment exists and something may be made for it.

        Raises :class:`EnvironmentNotFound`, :class:`DirectoryUnavailable`, which is not
        remembered, and as :meth:`refuse_erased` does.
        """
        await self.refuse_erased(environment_id)
        lookup = self._lookups.get(environment_id)
        if lookup is None or self._clock.monotonic() >= lookup.until:
            exists = await self._directory.exists(environment_id)
            lasts = EXISTS_FOR if exists else MISSING_FOR
            lookup = _Lookup(exists, self._clock.monotonic() + lasts.total_seconds())
            self._lookups[environment_id] = lookup
            self._lookups.move_to_end(environment_id)
            if len(self._lookups) > _MOST_CACHED:
                self._lookups.popitem(last=False)
        if not lookup.exists:
            raise EnvironmentNotFound(environment_id)

    async def refuse_erased(self, environment_id: UUID) -> None:
        """Raise :class:`EnvironmentBeingErased` while it is, and :class:`StorageUnavailable`."""
        if environment_id in await self._erasures.running():
            raise EnvironmentBeingErased(environment_id)
