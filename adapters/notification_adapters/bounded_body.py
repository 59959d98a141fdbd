"""Reading the response of a service that we use: no more of it than it may be."""

from aiohttp import ClientError, ClientResponse


class ResponseTooLong(ClientError):
    """A response that goes on for longer than any good one would."""


async def read_at_most(response: ClientResponse, limit: int) -> bytes:
    """Return the body; raise :class:`ResponseTooLong` once it has more than ``limit`` bytes."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise ResponseTooLong(f"The response has more than {limit} bytes.")
    return body
