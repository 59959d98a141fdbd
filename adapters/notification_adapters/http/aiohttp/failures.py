"""What an error of aiohttp means."""

import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientProxyConnectionError,
    ClientResponseError,
    ServerDisconnectedError,
    hdrs,
)

from notification_adapters.http import failures
from notification_adapters.http.destination_guard import DestinationDenied
from notification_adapters.http.messages import MAX_HEADERS
from notification_core.ports.sender import SendingFailed


def failure_of(error: ClientError, *, proxied: bool) -> SendingFailed:
    """Return what an error of aiohttp means; it was raised before the response had begun.

    ``proxied`` tells that nothing but a proxy is looked up and connected to.
    """
    match error:
        case ClientConnectorDNSError() | ClientProxyConnectionError() if proxied:
            failure = failures.proxy_unreachable()
        case ClientResponseError() if proxied and error.request_info.method == hdrs.METH_CONNECT:
            failure = failures.proxy_refused()
        case ClientConnectorError():
            failure = _not_connected(error)
        case ServerDisconnectedError():
            early = isinstance(error.message, str)
            failure = failures.closed_early() if early else failures.closed_amid_headers()
        case ClientOSError(__cause__=ssl.SSLError() as cause):
            failure = failures.tls_failed(cause)
        case ClientOSError():
            failure = failures.reset_early()
        case ClientResponseError():
            failure = _invalid_head(error.message)
        case _:
            failure = failures.unsent()
    return failure


def _invalid_head(message: str) -> SendingFailed:
    """Return what aiohttp says of a head; what follows a colon quotes it."""
    if message.startswith("Too many headers"):
        return failures.too_many_headers(MAX_HEADERS)
    if message.startswith("Got more than"):
        return failures.headers_too_large()
    return failures.malformed_head(message.partition("b'")[0].partition('b"')[0])


def _not_connected(error: ClientConnectorError) -> SendingFailed:
    match error:
        case ClientConnectorCertificateError():
            return failures.tls_failed(error.certificate_error)
        case ClientConnectorSSLError():
            return failures.tls_failed(error.os_error)
        case ClientConnectorError(os_error=DestinationDenied()):
            return failures.refused(error.os_error)
        case ClientConnectorDNSError():
            return failures.not_looked_up(error.os_error)
        case _:
            return failures.not_connected(error.os_error)
