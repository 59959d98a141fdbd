"""Choosing what sends: the native sender where httptools is installed, unless told otherwise."""

from ssl import SSLContext

from notification_adapters.http.trust import system_trust, trust_in
from notification_core.errors import Detail, InvalidSettings
from notification_core.ports.sender import HttpSender, Took
from notification_entrypoints.settings import Sender, Settings


def chosen_sender(settings: Settings, took: Took) -> HttpSender:
    """Return the sender that the settings ask for; to be called where an event loop runs.

    Of the native one ``took`` hears how long the phases of requests take.

    Raises :class:`InvalidSettings` where it is not installed, or cannot know whom to trust.
    """
    trust = _trust(settings)
    match settings.webhooks_sender:
        case Sender.AIOHTTP:
            return _aiohttp_sender(settings, trust)
        case Sender.NATIVE:
            try:
                return _native_sender(settings, trust, took)
            except ImportError as error:
                raise _not_installed() from error
        case Sender.AUTO:
            try:
                return _native_sender(settings, trust, took)
            except ImportError:
                return _aiohttp_sender(settings, trust)


def _aiohttp_sender(settings: Settings, trust: SSLContext) -> HttpSender:
    from notification_adapters.http.aiohttp import AiohttpSender  # noqa: PLC0415 - only where chosen

    return AiohttpSender(
        settings.destinations, ssl_context=trust, proxy=settings.webhooks_egress_proxy
    )


def _native_sender(settings: Settings, trust: SSLContext, took: Took) -> HttpSender:
    from notification_adapters.http.native import NativeSender  # noqa: PLC0415 - an extra

    return NativeSender(
        settings.destinations,
        ssl_context=trust,
        proxy=settings.webhooks_egress_proxy,
        took=took,
    )


def _trust(settings: Settings) -> SSLContext:
    authorities = settings.webhooks_ca_file
    if authorities is None:
        return system_trust()
    try:
        return trust_in(authorities)
    except OSError as error:  # ssl.SSLError is one too
        reason = error.strerror or error
        problem = (
            f"WEBHOOKS_CA_FILE is {str(authorities)!r}, but must be a file of PEM certificates "
            f"that this process can read ({reason})"
        )
        raise _refused("WEBHOOKS_CA_FILE", problem) from error


def _not_installed() -> InvalidSettings:
    problem = (
        "WEBHOOKS_SENDER is 'native', but httptools is not installed; install "
        "'notification-management[native]', or choose aiohttp"
    )
    return _refused("WEBHOOKS_SENDER", problem)


def _refused(variable: str, problem: str) -> InvalidSettings:
    return InvalidSettings(f"The settings are refused: {problem}.", [Detail(variable, problem)])
