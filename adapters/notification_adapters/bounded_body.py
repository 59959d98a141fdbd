"""Reading what a service answers that we ask: no more of it than it may be."""

from aiohttp import ClientError, ClientResponse


class AnswerTooLong(ClientError):
    """An answer that goes on for longer than any good one would."""


async def body_of(response: ClientResponse, most: int) -> bytes:
    """Return the body; raise :class:`AnswerTooLong` once it has more than ``most`` bytes."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            raise AnswerTooLong(f"The answer has more than {most} bytes.")
    return body
