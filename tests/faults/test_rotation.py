"""Keys that are rotated while requests go out all the time."""

from datetime import UTC, datetime

import pytest

from tests.faults.accounts import Accounts
from tests.faults.experiment import Experiment
from tests.faults.marks import postgres_when_long
from tests.faults.place import Place
from tests.faults.producer import producing
from tests.faults.stage import Api, running
from tests.faults.verification import verifies
from tests.support.receivers import Receiver

_ENOUGH = 100


@pytest.mark.experiment(31, "keys rotated under load, planned and in an emergency")
@postgres_when_long
async def test_every_request_verifies_by_a_key_that_was_published_when_it_was_sent(
    experiment: Experiment, place: Place
) -> None:
    accounts = Accounts()
    async with (
        accounts.receiver(lambda: (0, 200)) as receiver,
        running(experiment.folder, place, WEBHOOKS_RETRY_INTERVAL="100ms") as (_, api),
    ):
        await api.subscribe(receiver.url)
        first = await published(api)
        async with producing(api, experiment.random):
            await receiver.wait_for(_ENOUGH)
            await rotate(api, emergency=False)
            with_pending = await published(api)
            await more(receiver)
            asked = datetime.now(UTC)
            await rotate(api, emergency=True)
            answered = datetime.now(UTC)
            await more(receiver)
        after = await published(api)
    assert len(first) == 1
    assert len(with_pending) == 2
    (old,), (new,) = first, set(after) - set(with_pending)
    by_key = {old: 0, new: 0}
    for request in accounts.requests:
        key_id = request.headers["X-3dverse-Signature-Key-Id"]
        assert verifies(request, after[key_id])
        signed_at = int(request.headers["webhook-timestamp"])
        assert key_id == old or signed_at >= int(asked.timestamp())
        assert key_id == new or signed_at <= answered.timestamp()
        by_key[key_id] += 1
    assert all(by_key.values())
    experiment.tell(f"{by_key[old]} requests by the old key, {by_key[new]} by the new one")


async def published(api: Api) -> dict[str, str]:
    """Return the keys that are to be trusted now, in hex by their ids."""
    settings = await api.call("GET", f"environments/{api.environment}/settings")
    keys = settings["verification_keys"]
    assert isinstance(keys, list)
    return {key["id"]: key["hex"] for key in keys}


async def rotate(api: Api, *, emergency: bool) -> None:
    path = f"environments/{api.environment}/settings/verification-keys"
    await api.call("POST", path, {"emergency": emergency})


async def more(receiver: Receiver) -> None:
    """Return once many more requests have come."""
    await receiver.wait_for(len(receiver.requests) + _ENOUGH)
