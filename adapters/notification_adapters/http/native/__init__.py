"""A sender of our own: asyncio's protocols, and llhttp (httptools) to read what comes."""

from notification_adapters.http.native.sender import NativeSender

__all__ = ["NativeSender"]
