"""Whatever URL is written: it is checked, and what is allowed is read alike by another parser."""

import sys
from urllib.parse import urlsplit

import atheris

with atheris.instrument_imports():
    from notification_core.model.destinations import (
        DestinationPolicy,
        DestinationVerdictKind,
        evaluate_url,
    )

POLICY = DestinationPolicy()


def one_input(drawn: bytes) -> None:
    """Check a URL."""
    url = "http://" + drawn.decode("utf-8", "surrogateescape")
    if evaluate_url(url, POLICY).kind is DestinationVerdictKind.ALLOW:
        read = urlsplit(url)
        assert read.hostname
        assert read.hostname.lower() in url.lower()
        assert read.username is None


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
