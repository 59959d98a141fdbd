"""The sender on aiohttp's client."""

from notification_adapters.http.aiohttp.sender import AiohttpSender

__all__ = ["AiohttpSender"]
