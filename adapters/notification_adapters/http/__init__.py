"""Sending over HTTP/1.1 to destinations that the policy allows, by one of two clients.

``aiohttp`` is the reference; ``native``, our own, costs a quarter of it. What both promise is here:
who may be connected to, how names are looked up, which headers go out, how much is read, and the
words for what went wrong.
"""
