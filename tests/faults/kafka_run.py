"""A run of consumers with their receivers, from Kafka to the checker."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import frozen

from tests.faults.accounts import Accounts, Manner
from tests.faults.experiment import Experiment
from tests.faults.history import Allowed, History
from tests.faults.kafka_stage import LETTERS, Account, Stage, consuming
from tests.faults.load import kills_of
from tests.faults.place import Place
from tests.kafka.topics import Kafka
from tests.support.waiting import until


@frozen
class Run:
    """A consumer with one receiver, and what the topic was sent."""

    experiment: Experiment
    stage: Stage
    accounts: Accounts
    account: Account

    async def produce(self, count: int, every: int = 20) -> None:
        await self.stage.produce(self.account, count, self.experiment.random, every)

    async def drain(self) -> None:
        """Wait for the end of the run, and have it checked."""
        stage, account = self.stage, self.account
        await until("all is ingested", lambda: stage.is_caught_up(account), 90)
        await until("all is delivered", lambda: stage.is_delivered(account), 60)
        history = History(
            published=[*account.published, *account.beside],
            seen=self.accounts.seen(await stage.api.key()),
            stored=await stage.place.stored(),
            allowed=Allowed(kills=kills_of(*stage.consumers)),
        )
        self.experiment.judge(history)
        await until("all poison is set aside", self._is_set_aside, 60)

    async def _is_set_aside(self) -> bool:
        """Tell whether each poison is in its topic; who was killed may have sent some twice."""
        kafka = self.stage.kafka
        letters = await kafka.read(LETTERS, await kafka.count(LETTERS))
        of_place = {
            tuple(dict(one.headers)[f"dead-letter-{name}"] for name in ("partition", "offset")): one
            for one in letters
        }
        return Counter(one.value for one in of_place.values()) == Counter(self.account.poison)

    @property
    def requests(self) -> int:
        return len(self.accounts.requests)


@asynccontextmanager
async def on_stage(  # noqa: PLR0913 - what differs, one by one
    experiment: Experiment,
    kafka: Kafka,
    place: Place,
    *manners: Manner,
    at: str = "",
    options: Sequence[str] = (),
    count: int = 1,
    **settings: str,
) -> AsyncIterator[Run]:
    """Have a consumer deliver to receivers of these manners; it may be killed ``at`` a point."""
    accounts = Accounts()
    tampering = ("--at", at) if at else ()
    chosen = {"WEBHOOKS_RETRY_INTERVAL": "200ms", "WEBHOOKS_MAX_IN_FLIGHT": "512", **settings}
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(
            consuming(experiment.folder, kafka, place, tampering, *options, count=count, **chosen)
        )
        for manner in manners:
            receiver = await stack.enter_async_context(accounts.receiver(manner))
            await stage.api.subscribe(receiver.url)
        yield Run(experiment, stage, accounts, Account(stage.api.environment))
