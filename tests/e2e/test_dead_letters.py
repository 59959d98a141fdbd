"""Dead letters from a real Kafka: an operator sees them, changes a setting, and replays them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from notification_client import ApiRefused, DeadLetter, NotificationClient
from tests.e2e.test_kafka import EVENTS, message, up_with
from tests.faults.place import ServerPlace
from tests.kafka.topics import Kafka
from tests.support.receivers import Receiver
from tests.support.waiting import until

UNFIT = b'{"status":7}'


async def test_what_was_rejected_is_delivered_once_it_is_not_any_more(
    kafka: Kafka, tmp_path: Path
) -> None:
    await _reject_and_replay(kafka, tmp_path, {})


async def test_it_is_so_on_postgresql(kafka: Kafka, place: ServerPlace, tmp_path: Path) -> None:
    await _reject_and_replay(kafka, tmp_path, place.settings)


async def _reject_and_replay(kafka: Kafka, folder: Path, storage: Mapping[str, str]) -> None:
    await kafka.create(EVENTS)
    async with Receiver() as receiver:
        rejecting = up_with(kafka, folder, EVENT_VALIDATION="reject", **storage)
        async with rejecting as (_, api), NotificationClient(api.base) as client:
            await api.subscribe(receiver.url)
            environment = api.environment
            sent = message(api, "unfit", UNFIT)
            await kafka.send(EVENTS, sent)

            async def is_there() -> bool:
                return bool(await _listed(client))

            await until("the dead letter is there", is_there)
            (letter,) = await _listed(client)
            assert letter.reason.startswith("invalid_data: data")
            assert (await client.dead_letter(letter.letter_id)).value == sent
            with pytest.raises(ApiRefused, match="does not fit"):
                await client.replay_dead_letter(letter.letter_id)
        counting = up_with(kafka, folder, EVENT_VALIDATION="count", **storage)
        async with counting as (_, later), NotificationClient(later.base) as client:
            replayed = await client.replay_dead_letter(letter.letter_id)
            assert (str(replayed.environment_id), replayed.event_id) == (environment, "unfit")
            assert replayed.warnings
            assert not await _listed(client)
            (request,) = await receiver.wait_for(1)
            assert request.headers["webhook-id"] == "msg_unfit"


async def _listed(client: NotificationClient) -> Sequence[DeadLetter]:
    return [letter async for letter in client.dead_letters()]
