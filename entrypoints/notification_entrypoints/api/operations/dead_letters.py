"""The operations on dead letters: messages from Kafka of which no event could be made."""

from collections.abc import Mapping

import msgspec
from aiohttp import web
from attrs import frozen

from notification_adapters.dead_letter_fields import (
    dead_letter_fields,
    replayed_fields,
    summary_fields,
)
from notification_core.errors import InvalidInput
from notification_core.ingest.dead_letters import DeadLetterReplay, ReplayedLetter
from notification_entrypoints.api.endpoint import ACCEPTED, ApiCall, Handler, json_response
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.paging import Paging
from notification_entrypoints.api.problems import Problem, RequestRefused


@frozen
class DeadLetterOperations:
    """Lists, shows and replays dead letters, which belong to no environment."""

    letters: DeadLetterReplay
    idempotency: Idempotency
    paging: Paging

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "listDeadLetters": Handler(self.page),
            "getDeadLetter": Handler(self.get),
            "replayDeadLetter": Handler(self.replay),
        }

    async def page(self, call: ApiCall) -> web.Response:
        """Answer with one page of dead letters, newest first."""
        limit = self.paging.limit(call)
        # One more than is shown tells whether there is a next page.
        letters = await self.letters.page(limit + 1, self.paging.row(call))
        after = letters[limit - 1].letter_id if len(letters) > limit else None
        body = msgspec.json.encode([*map(summary_fields, letters[:limit])])
        return self.paging.respond(call, body, after)

    async def get(self, call: ApiCall) -> web.Response:
        """Answer with a dead letter and its message."""
        stored = await self.letters.get(call.parameters.id("letter_id"))
        return json_response(msgspec.json.encode(dead_letter_fields(stored)))

    async def replay(self, call: ApiCall) -> web.Response:
        """Read a dead letter again, and answer with the event that it is now."""
        letter_id = call.parameters.id("letter_id")
        try:
            return await self.idempotency.respond_once(
                call,
                lambda records: self.letters.replay(letter_id, records),
                _render,
                lambda _: letter_id,
            )
        except InvalidInput as error:
            # Nothing is wrong with the request: it is the stored message that is not an event.
            raise RequestRefused(Problem.STILL_NOT_AN_EVENT, str(error), error.details) from error


def _render(replayed: ReplayedLetter) -> web.Response:
    return json_response(msgspec.json.encode(replayed_fields(replayed)), ACCEPTED)
