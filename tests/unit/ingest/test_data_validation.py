"""What happens to events whose data does not fit: delivered and counted, or rejected."""

import asyncio
from collections.abc import Collection, Sequence

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from notification_adapters.memory import ManualClock, memory_storage
from notification_core.errors import Detail, InvalidEvent
from notification_core.ingest.data_validation import MAX_DETAILS, DataValidation
from notification_core.ingest.ingest import Published
from notification_core.model.event import Event, EventToStore
from notification_core.ports.data_validator import DataValidator
from notification_core.ports.history import History
from tests.support.samples import CREATED, an_event

GOOD, BAD = b'"good"', b'"bad"'


@define
class OnlyGood(DataValidator):
    """Lets only good data pass, and has much to say of any other."""

    asked: list[str] = field(factory=list)

    def fits(self, event: Event) -> bool:
        return event.data == GOOD

    def errors(self, event: Event, most: int) -> Sequence[Detail]:
        assert most >= 1
        self.asked.append(event.event_id)
        return [Detail(f"data.f{number}", "It is bad.") for number in range(min(most, 30))]


@define
class Installation:
    """A storage that knows some events, and its validation."""

    rejects: bool
    known: Collection[str] = ()
    counted: list[str] = field(factory=list)
    validator: OnlyGood = field(factory=OnlyGood)

    async def history(self) -> History:
        storage = memory_storage(ManualClock())
        async with storage.deliveries.ingesting() as transaction:
            await transaction.add_events([EventToStore(an_event(one), None) for one in self.known])
        return storage.history

    async def validation(self) -> DataValidation:
        history = await self.history()
        return DataValidation(self.validator, history, self.counted.append, rejects=self.rejects)


def batch(*events: tuple[str, bytes]) -> Sequence[Event]:
    return [an_event(event_id, data=data) for event_id, data in events]


async def refusal(installation: Installation, events: Sequence[Event]) -> Sequence[Detail]:
    validation = await installation.validation()
    with pytest.raises(InvalidEvent) as caught:
        await validation.check(events, validation.misfits(events), single=len(events) == 1)
    return caught.value.details


async def test_a_batch_with_bad_data_is_rejected_with_the_places() -> None:
    events = batch(("a", GOOD), ("b", BAD), ("c", GOOD))
    details = await refusal(Installation(rejects=True), events)
    assert details[0] == Detail("[1].data.f0", "It is bad.")
    assert {detail.field.partition(".")[0] for detail in details} == {"[1]"}


async def test_a_single_event_is_rejected_without_an_index() -> None:
    details = await refusal(Installation(rejects=True), batch(("a", BAD)))
    assert details[0].field == "data.f0"


async def test_no_more_than_a_hundred_things_are_said() -> None:
    events = batch(*((f"e{number}", BAD) for number in range(500)))
    assert len(await refusal(Installation(rejects=True), events)) == MAX_DETAILS
    validation = await Installation(rejects=False).validation()
    misfits = validation.misfits(events)
    assert len(misfits) == 500, "each of them has a warning"
    assert sum(map(len, misfits.values())) <= MAX_DETAILS + 500


async def test_what_is_known_is_not_validated() -> None:
    installation = Installation(rejects=True, known=["a"])
    validation = await installation.validation()
    events = batch(("a", BAD))
    await validation.check(events, validation.misfits(events), single=True)


async def test_what_comes_after_a_rejected_event_of_its_id_is_no_duplicate_of_it() -> None:
    validation = await Installation(rejects=True).validation()
    events = batch(("a", BAD), ("a", BAD), ("a", GOOD), ("a", BAD))
    assert await validation.rejected(events, validation.misfits(events)) == [0, 1]


async def test_only_what_was_stored_is_counted() -> None:
    installation = Installation(rejects=False)
    validation = await installation.validation()
    events = batch(("a", BAD), ("b", BAD), ("c", BAD), ("d", GOOD))
    published = [
        Published("a", duplicate=False),
        Published("b", duplicate=True),
        Published("c", duplicate=False, dropped=True),
        Published("d", duplicate=False),
    ]
    validation.count_stored(events, validation.misfits(events), published)
    assert installation.counted == [CREATED]


async def test_what_fits_is_asked_about_only_once() -> None:
    installation = Installation(rejects=True)
    validation = await installation.validation()
    events = batch(("a", GOOD))
    await validation.check(events, validation.misfits(events), single=True)
    assert installation.validator.asked == []


IDS = st.sampled_from("abcdef")


@given(
    given_events=st.lists(st.tuples(IDS, st.sampled_from([GOOD, BAD])), max_size=12),
    known=st.sets(IDS),
    rejects=st.booleans(),
)
def test_rejected_is_each_bad_event_unless_it_is_a_duplicate(
    given_events: list[tuple[str, bytes]], known: set[str], *, rejects: bool
) -> None:
    async def rejected() -> Sequence[int]:
        validation = await Installation(rejects, known).validation()
        events = batch(*given_events)
        return await validation.rejected(events, validation.misfits(events))

    stored = set(known)
    expected = []
    for index, (event_id, data) in enumerate(given_events):
        if rejects and data == BAD and event_id not in stored:
            expected.append(index)
        else:
            stored.add(event_id)
    assert list(asyncio.run(rejected())) == expected
