"""Sending over HTTP/1.1 with aiohttp, to destinations that the policy allows."""
