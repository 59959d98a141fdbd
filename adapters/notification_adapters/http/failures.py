"""What went wrong, in words for the customer that tell nothing of the network that we are in."""

import ssl
from datetime import timedelta

import aiohttp

from notification_adapters.http.guard import DestinationDenied
from notification_core.deliveries import AttemptError, ErrorCode
from notification_core.ports.sender import SendingFailed

# https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/, the codes that customers meet.
_CERTIFICATE_ERRORS = {
    9: "The server's certificate is not valid yet.",
    10: "The server's certificate has expired.",
    18: "The server's certificate is self-signed.",
    19: "The server's certificate comes from an authority that is not trusted.",
    20: (
        "The server's certificate comes from an authority that is not trusted, or the server does "
        "not send the intermediate certificates."
    ),
    21: "The server does not send the intermediate certificates.",
    62: "The server's certificate is for another host name.",
    64: "The server's certificate is for another address.",
}


def timed_out(timeout: timedelta) -> SendingFailed:
    """Return the failure of an attempt that took too long."""
    return _failed(ErrorCode.TIMEOUT, f"No response came within {timeout.total_seconds():g} s.")


def refused(reason: object) -> SendingFailed:
    """Return the failure of a destination that the policy refuses."""
    return _failed(ErrorCode.DESTINATION_NOT_ALLOWED, str(reason))


def invalid_response(what: str) -> SendingFailed:
    """Return the failure of a response that is not HTTP, or not one that can be taken."""
    return _failed(ErrorCode.INVALID_RESPONSE, what)


def failure_of(error: aiohttp.ClientError) -> SendingFailed:  # noqa: C901 - a table, line by line
    """Return what an error of aiohttp means; it was raised before the response had begun."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            failure = ErrorCode.TLS, _certificate_error(error.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            failure = ErrorCode.TLS, _handshake_error(error.os_error)
        case aiohttp.ClientConnectorError(os_error=DestinationDenied()):
            failure = ErrorCode.DESTINATION_NOT_ALLOWED, str(error.os_error)
        case aiohttp.ClientConnectorDNSError():
            failure = ErrorCode.DNS, str(error.os_error)
        case aiohttp.ClientConnectorError():
            failure = ErrorCode.CONNECT, _connect_error(error.os_error)
        case aiohttp.ServerDisconnectedError(message=str()):
            failure = ErrorCode.CONNECT, "The connection was closed before a response came."
        case aiohttp.ServerDisconnectedError():
            failure = ErrorCode.INVALID_RESPONSE, "The connection was closed amid the headers."
        case aiohttp.ClientOSError(__cause__=ssl.SSLError() as cause):
            failure = ErrorCode.TLS, _handshake_error(cause)
        case aiohttp.ClientOSError():
            failure = ErrorCode.CONNECT, "The connection was reset before a response came."
        case aiohttp.ClientResponseError():
            failure = (
                ErrorCode.INVALID_RESPONSE,
                "The response is not HTTP/1.1, or its headers are too large.",
            )
        case _:
            failure = ErrorCode.CONNECT, "The request could not be sent."
    return _failed(*failure)


def _failed(code: ErrorCode, message: str) -> SendingFailed:
    return SendingFailed(AttemptError(code, message))


def _certificate_error(error: Exception) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    return _CERTIFICATE_ERRORS.get(code or 0, "The server's certificate is not valid.")


def _handshake_error(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return f"The TLS handshake failed ({reason or 'no reason was given'})."


def _connect_error(error: OSError) -> str:
    match error:
        case ConnectionRefusedError():
            return "The connection was refused."
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return "The connection was reset while it was being made."
        case TimeoutError():
            return "The host did not answer when the connection was being made."
        case _:
            return "The host could not be reached."
