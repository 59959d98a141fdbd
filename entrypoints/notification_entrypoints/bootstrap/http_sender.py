"""Choosing the HTTP sender: the native one if httptools is installed, unless set otherwise."""

from ssl import SSLContext

from notification_core.errors import Detail, InvalidSettings
from notification_core.ports.sender import HttpSender, OnPhase
from notification_entrypoints.config.parsers import Sender
from notification_entrypoints.config.policies import trust_of
from notification_entrypoints.config.settings import Settings


def choose_sender(settings: Settings, on_phase: OnPhase) -> HttpSender:
    """Return the sender that the settings ask for; to be called where an event loop runs.

    With the native one ``on_phase`` is called with how long the phases of requests take.

    Raises :class:`InvalidSettings` where it is not installed, or its CA bundle cannot be read.
    """
    trust = trust_of("WEBHOOKS_CA_FILE", settings.webhooks.ca_file)
    match settings.webhooks.sender:
        case Sender.AIOHTTP:
            return _aiohttp_sender(settings, trust)
        case Sender.NATIVE:
            try:
                return _native_sender(settings, trust, on_phase)
            except ImportError as error:
                problem = (
                    "WEBHOOKS_SENDER is 'native', but httptools is not installed; install "
                    "'notification-management[native]', or choose aiohttp"
                )
                details = [Detail("WEBHOOKS_SENDER", problem)]
                raise InvalidSettings(f"The settings are refused: {problem}.", details) from error
        case Sender.AUTO:
            try:
                return _native_sender(settings, trust, on_phase)
            except ImportError:
                return _aiohttp_sender(settings, trust)


def _aiohttp_sender(settings: Settings, trust: SSLContext | None) -> HttpSender:
    from notification_adapters.http.aiohttp import AiohttpSender  # noqa: PLC0415 - only where chosen

    return AiohttpSender(
        settings.webhooks.destinations, ssl_context=trust, proxy=settings.webhooks.egress_proxy
    )


def _native_sender(settings: Settings, trust: SSLContext | None, on_phase: OnPhase) -> HttpSender:
    from notification_adapters.http.native import NativeSender  # noqa: PLC0415 - an extra

    return NativeSender(
        settings.webhooks.destinations,
        ssl_context=trust,
        proxy=settings.webhooks.egress_proxy,
        on_phase=on_phase,
    )
