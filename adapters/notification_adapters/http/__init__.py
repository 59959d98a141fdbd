"""Sending over HTTP/1.1 with aiohttp, to destinations that the policy allows."""

from notification_adapters.http.sender import AiohttpSender

__all__ = ["AiohttpSender"]
