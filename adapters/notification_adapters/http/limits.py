"""How much is read, and how long things are kept."""

from datetime import timedelta

IDLE = timedelta(seconds=2)
"""How long a connection is kept for a next request: less than most servers keep theirs."""

MAX_HEADER_BYTES = 64 * 1024
"""All headers of a response together."""

MAX_HEADERS = 128
"""So many headers may come."""

MAX_KNOWN_URLS = 4096
"""How many URLs are kept taken apart: those of the webhooks that are sent to now."""
