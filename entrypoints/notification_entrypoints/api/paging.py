"""Pages of long lists: where one begins, and how the one before it says so."""

import base64
import hmac
from uuid import UUID

import msgspec
from aiohttp import hdrs, web
from attrs import field, frozen

from notification_core.errors import Detail
from notification_core.model.read_models import EventPlace
from notification_entrypoints.api.endpoint import ApiCall, json_response
from notification_entrypoints.api.problems import Problem, RequestRefused

_DEFAULT_LIMIT = 50
_SEAL_BYTES = 16
# A page of another length is a page of the same list.
_NOT_OF_THE_LIST = {"cursor", "limit"}

_EVENT_PLACE = msgspec.msgpack.Decoder(EventPlace)


@frozen
class Paging:
    """Makes the cursors of the lists, and takes no others.

    A cursor is the place where a page begins, sealed under ``key`` together with the list that
    it is of: its route, what the path names, its filters. So one that was made up, cut, or taken
    from another list is refused, where it would else give a page that was not asked for. It hides
    nothing: the place is that of the last row that was shown.
    """

    key: bytes = field(repr=False)

    def limit(self, call: ApiCall) -> int:
        """Return how many rows a page is to have at most."""
        return call.parameters.number("limit", _DEFAULT_LIMIT)

    def row(self, call: ApiCall) -> UUID | None:
        """Return the row that a page begins below; raise :class:`RequestRefused`."""
        place = self._place(call)
        return None if place is None else UUID(bytes=place)

    def event(self, call: ApiCall) -> EventPlace | None:
        """Return the event that a page begins below; raise :class:`RequestRefused`."""
        place = self._place(call)
        return None if place is None else _EVENT_PLACE.decode(place)

    def respond(self, call: ApiCall, body: bytes, after: UUID | EventPlace | None) -> web.Response:
        """Return a page, with a link to the one after it if there is one."""
        response = json_response(body)
        if after is not None:
            place = after.bytes if isinstance(after, UUID) else msgspec.msgpack.encode(after)
            where = call.head.url.update_query(cursor=self._cursor(call, place))
            response.headers[hdrs.LINK] = f'<{where}>; rel="next"'
        return response

    def _place(self, call: ApiCall) -> bytes | None:
        cursor = call.parameters.text("cursor")
        if cursor is None:
            return None
        written = cursor.encode(errors="surrogatepass")
        try:
            place = base64.urlsafe_b64decode(written + b"==")[_SEAL_BYTES:]
        except ValueError:
            place = b""
        # Of several texts that stand for the same bytes only the one that we write is taken.
        if not hmac.compare_digest(self._cursor(call, place).encode(), written):
            message = (
                "This is not a cursor of this list and these filters. Follow the Link header of "
                "the page before, or begin without a cursor."
            )
            raise RequestRefused(Problem.INVALID_PARAMETERS, details=[Detail("cursor", message)])
        return place

    def _cursor(self, call: ApiCall, place: bytes) -> str:
        query = call.head.url.query
        # What tells the list of a call from every other one.
        parts = (
            call.router[call.operation_id].canonical,
            sorted(call.head.path.items()),
            sorted({n: text for n, text in query.items() if n not in _NOT_OF_THE_LIST}.items()),
        )
        sealed = msgspec.json.encode(parts) + place
        seal = hmac.digest(self.key, sealed, "sha256")[:_SEAL_BYTES]
        return base64.urlsafe_b64encode(seal + place).rstrip(b"=").decode()
