"""What happens to events whose data does not fit the schema of their type.

By default they are delivered all the same, since their publisher is the authority, and counted. An
installation may have them rejected instead. A duplicate is neither: it was stored before, maybe
when the schema was another one, and publishing it again must be answered as before.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import frozen

from notification_core.errors import Detail, InvalidEvent
from notification_core.ingest.ingest import Published
from notification_core.model.event import Event
from notification_core.ports.data_validator import DataValidator
from notification_core.ports.history import History

MAX_DETAILS = 100
"""How many wrong things are named of a batch; of each further event only one."""

_MAX_DETAILS_OF_AN_EVENT = 10

Misfits = Mapping[int, Sequence[Detail]]
"""The events of a batch whose data does not fit, by their indexes, with what is wrong."""


@frozen
class DataValidation:
    """Validates the data of events, and rejects or counts those that do not fit.

    ``history`` knows which events are duplicates; ``count`` is told of the type of each event that
    does not fit and was stored.
    """

    validator: DataValidator
    history: History
    count: Callable[[str], None]
    rejects: bool

    def misfits(self, events: Sequence[Event]) -> Misfits:
        """Return which events of a batch do not fit; it may take long, and waits for nothing."""
        misfits: dict[int, Sequence[Detail]] = {}
        left = MAX_DETAILS
        for index, event in enumerate(events):
            if not self.validator.fits(event):
                most = max(1, min(left, _MAX_DETAILS_OF_AN_EVENT))
                misfits[index] = self.validator.errors(event, most)
                left -= len(misfits[index])
        return misfits

    async def check(self, events: Sequence[Event], misfits: Misfits, *, single: bool) -> None:
        """Raise :class:`InvalidEvent` if any event of a batch is to be rejected.

        Its details name the fields as ``[3].data.status``; those of a ``single`` event have no
        index. Raises :class:`StorageUnavailable` as well.
        """
        details = [
            Detail(detail.field if single else f"[{index}].{detail.field}", detail.message)
            for index in await self.rejected(events, misfits)
            for detail in misfits[index]
        ]
        if details:
            more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
            first = f"{details[0].field}: {details[0].message}{more}"
            raise InvalidEvent(f"The data does not fit: {first}", details[:MAX_DETAILS])

    async def rejected(self, events: Sequence[Event], misfits: Collection[int]) -> Sequence[int]:
        """Return the indexes of the events that are to be rejected: none that is a duplicate.

        An event with the id of one before it that is not rejected is a duplicate too. Raises
        :class:`StorageUnavailable`.
        """
        if not self.rejects or not misfits:
            return ()
        known = {*await self.history.known_events([events[index].key for index in misfits])}
        rejected = []
        for index, event in enumerate(events):
            if index in misfits and event.key not in known:
                rejected.append(index)
            else:
                known.add(event.key)
        return rejected

    def count_stored(
        self, events: Sequence[Event], misfits: Collection[int], published: Sequence[Published]
    ) -> None:
        """Count what was stored and does not fit."""
        for index in misfits:
            if not (published[index].duplicate or published[index].dropped):
                self.count(events[index].type)
