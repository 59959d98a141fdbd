"""The settings of the console, and of the portal that customers see of it."""

# ruff: noqa: RUF009 - the calls in the class bodies make attrs fields, as attrs.field() does

from datetime import timedelta

from attrs import frozen

from notification_entrypoints.config.parsers import (
    COLOR,
    FRAME_ANCESTORS,
    LOGO,
    ORIGIN,
    SOME_TEXT,
    TIME,
    TRUTH,
    Logo,
)
from notification_entrypoints.config.variables import setting


@frozen(kw_only=True)
class ConsoleSettings:
    """The console, and the portal that customers see of it."""

    enabled: bool = setting(
        TRUTH, "true", "Serve the console, pages for people, at `/console/` of the API server."
    )
    origin: str | None = setting(
        ORIGIN,
        "",
        "The origin that browsers reach the console at, such as https://notify.example.com; empty "
        "for the one that requests are sent to.",
    )
    session_lifetime: timedelta = setting(
        TIME,
        "12h",
        "How long somebody who has signed in to the console stays signed in, unless the credential "
        "expires or is revoked earlier.",
    )
    frame_ancestors: tuple[str, ...] = setting(
        FRAME_ANCESTORS, "", "The origins of pages that may show the console in a frame."
    )
    name: str = setting(
        SOME_TEXT, "Notification Management", "The name that the console shows of itself."
    )
    logo_file: Logo | None = setting(LOGO, "", "The picture beside that name; empty for ours.")
    accent_color: str | None = setting(
        COLOR,
        "",
        "The colour of links and buttons in the console, made lighter or darker where it could not "
        "be read; empty for ours.",
    )
