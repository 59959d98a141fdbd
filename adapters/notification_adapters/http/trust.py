"""Whom TLS trusts."""

import ssl


def system_trust() -> ssl.SSLContext:
    """Return the TLS settings of every connection, with the system's certificates."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
