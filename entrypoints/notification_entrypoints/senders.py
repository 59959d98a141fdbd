"""Choosing what sends: the native sender where httptools is installed, unless told otherwise."""

from notification_core.errors import Detail, InvalidSettings
from notification_core.ports.sender import HttpSender
from notification_entrypoints.settings import Sender, Settings


def chosen_sender(settings: Settings) -> HttpSender:
    """Return the sender that the settings ask for; to be called where an event loop runs.

    Raises :class:`InvalidSettings` where it is not installed.
    """
    match settings.webhooks_sender:
        case Sender.AIOHTTP:
            return _aiohttp_sender(settings)
        case Sender.NATIVE:
            try:
                return _native_sender(settings)
            except ImportError as error:
                raise _not_installed() from error
        case Sender.AUTO:
            try:
                return _native_sender(settings)
            except ImportError:
                return _aiohttp_sender(settings)


def _aiohttp_sender(settings: Settings) -> HttpSender:
    from notification_adapters.http.aiohttp import AiohttpSender  # noqa: PLC0415 - only where chosen

    return AiohttpSender(settings.destinations)


def _native_sender(settings: Settings) -> HttpSender:
    from notification_adapters.http.native import NativeSender  # noqa: PLC0415 - an extra

    return NativeSender(settings.destinations)


def _not_installed() -> InvalidSettings:
    problem = (
        "WEBHOOKS_SENDER is 'native', but httptools is not installed; install "
        "'notification-management[native]', or choose aiohttp"
    )
    return InvalidSettings(
        f"The settings are refused: {problem}.", [Detail("WEBHOOKS_SENDER", problem)]
    )
