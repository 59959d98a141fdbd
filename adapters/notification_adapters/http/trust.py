"""Whom TLS trusts."""

import codecs
import ssl
from pathlib import Path


def system_trust() -> ssl.SSLContext:
    """Return the TLS settings of every connection, with the system's certificates."""
    return _modern(ssl.create_default_context())


def trust_in(authorities: Path) -> ssl.SSLContext:
    """Return the same with the certificates of a PEM file in the place of the system's.

    Raises ``OSError`` where it cannot be read, or holds no certificate.
    """
    with authorities.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            # OpenSSL would pass over the first certificate without a word.
            raise OSError("it begins with a byte order mark: save it without")
    return _modern(ssl.create_default_context(cafile=authorities))


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
