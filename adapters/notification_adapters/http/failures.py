"""What went wrong, in words for the customer that tell nothing of the network that we are in."""

import ssl
from datetime import timedelta

from notification_core.model.delivery import AttemptError, ErrorCode
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


# The first that fits: some of llhttp's words are about several things.
_MALFORMED_HEADS = {
    "Expected HTTP/": "The response does not begin with HTTP/1.1.",
    "can't be present with": "The response has both Content-Length and Transfer-Encoding.",
    "Duplicate Content-Length": "The response has more than one Content-Length.",
    "Content-Length": "The response's Content-Length is not a number of bytes.",
    "Transfer-Encoding": "The response's Transfer-Encoding is not valid.",
    "HTTP version": "The response's HTTP version is neither 1.0 nor 1.1.",
    "status": "The response's status is not a number of three digits.",
    "Invalid HTTP header": "A header of the response holds U+0000.",
    "header": "A header of the response is malformed.",
}


def timed_out(timeout: timedelta) -> SendingFailed:
    """Return the failure of an attempt that took too long."""
    return _failed(ErrorCode.TIMEOUT, f"No response came within {timeout.total_seconds():g} s.")


def refused(reason: object) -> SendingFailed:
    """Return the failure of a destination that the policy refuses."""
    return _failed(ErrorCode.DESTINATION_NOT_ALLOWED, str(reason))


def not_looked_up(reason: object) -> SendingFailed:
    """Return the failure of a name that was not looked up, or has no address."""
    return _failed(ErrorCode.DNS, str(reason))


def not_connected(error: OSError) -> SendingFailed:
    """Return what it means that no connection could be made."""
    match error:
        case ConnectionRefusedError():
            message = "The connection was refused."
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            message = "The connection was reset while it was being made."
        case TimeoutError():
            message = "The host did not answer when the connection was being made."
        case _:
            message = "The host could not be reached."
    return _failed(ErrorCode.CONNECT, message)


def tls_failed(error: Exception) -> SendingFailed:
    """Return what an error of TLS means, that of a certificate included."""
    if isinstance(error, ssl.CertificateError):
        fallback = "The server's certificate is not valid."
        return _failed(ErrorCode.TLS, _CERTIFICATE_ERRORS.get(error.verify_code, fallback))
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return _failed(ErrorCode.TLS, f"The TLS handshake failed ({reason or 'no reason was given'}).")


def closed_early() -> SendingFailed:
    """Return the failure of a connection that was closed in an orderly way, and unanswered."""
    return _failed(ErrorCode.CONNECT, "The connection was closed before a response came.")


def closed_amid_headers() -> SendingFailed:
    """Return the failure of a connection that was closed when a response had begun."""
    return invalid_response("The connection was closed before the headers ended.")


def reset_early() -> SendingFailed:
    """Return the failure of a connection that broke before a response was there."""
    return _failed(ErrorCode.CONNECT, "The connection was reset before a response came.")


def proxy_unreachable() -> SendingFailed:
    """Return the failure of a request that did not get as far as the operator's proxy."""
    return _failed(ErrorCode.CONNECT, "The proxy that requests leave through cannot be reached.")


def proxy_refused() -> SendingFailed:
    """Return the failure of a request that the operator's proxy did not let through."""
    return _failed(
        ErrorCode.CONNECT, "The proxy that requests leave through did not let this one pass."
    )


def unsent() -> SendingFailed:
    """Return the failure of a request that, for whatever else, did not go out."""
    return _failed(ErrorCode.CONNECT, "The request could not be sent.")


def malformed_head(reason: str) -> SendingFailed:
    """Return the failure of a response whose head is malformed.

    ``reason`` is what llhttp, which reads the responses of both senders, says of it.
    """
    sentences = (sentence for words, sentence in _MALFORMED_HEADS.items() if words in reason)
    return invalid_response(next(sentences, "The response is not valid HTTP/1.1."))


def headers_too_large() -> SendingFailed:
    """Return the failure of a response with more headers than are taken."""
    return invalid_response("The response's headers are too large.")


def unusable_status(status: int) -> SendingFailed:
    """Return the failure of a response that leads to another protocol, or to nothing."""
    return invalid_response(f"The response's status is {status:03}.")


def too_many_headers(limit: int) -> SendingFailed:
    """Return the failure of a response with more header lines than are accepted."""
    return invalid_response(f"The response has more than {limit} headers.")


def malformed_body() -> SendingFailed:
    """Return the failure of a response whose body's framing is broken."""
    return invalid_response("The response's body is not valid HTTP/1.1: a chunk is malformed.")


def invalid_response(what: str) -> SendingFailed:
    """Return the failure of a response that is not HTTP, or not one that can be taken."""
    return _failed(ErrorCode.INVALID_RESPONSE, what)


def _failed(code: ErrorCode, message: str) -> SendingFailed:
    return SendingFailed(AttemptError(code, message))
