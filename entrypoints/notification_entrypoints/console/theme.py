"""The name, the picture and the accent colour that the console shows, as the settings say.

One colour is given; what is drawn with it follows from it, so that text can be read in both colour
schemes (WCAG 2.2, contrast of at least 4.5).
"""

import hashlib
from typing import Final

from aiohttp import hdrs, web
from attrs import field, frozen

from notification_entrypoints.config.parsers import Logo
from notification_entrypoints.config.settings import Settings

_FOREVER: Final = "public, max-age=31536000, immutable"
_READABLE: Final = 4.5
_STEPS: Final = 50
_BLACK, _WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
_DARK_SURFACE: Final = (0.082, 0.094, 0.118)
_SOFT: Final = 0.88

_Color = tuple[float, float, float]

routes = web.RouteTableDef()


@frozen
class Theme:
    """What a page shows of whose console it is; URLs are None for what is as we made it."""

    name: str
    style: str | None
    logo: Logo | None = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Theme":
        """Return the theme that the settings say."""
        accent = settings.console.accent_color
        style = None if accent is None else style_of(accent)
        return cls(settings.console.name, style, settings.console.logo_file)

    @property
    def style_url(self) -> str | None:
        """Where its style sheet is, with a part that says what is in it."""
        return None if self.style is None else f"/console/theme.css?{_digest(self.style.encode())}"

    @property
    def logo_url(self) -> str | None:
        """Where its picture is, with a part that says what is in it."""
        return None if self.logo is None else f"/console/logo?{_digest(self.logo.content)}"


THEME = web.AppKey("theme", Theme)
"""The theme of all pages."""


@routes.get("/theme.css", name="theme")
async def style(request: web.Request) -> web.StreamResponse:
    """Serve the style sheet of the accent colour."""
    content = request.app[THEME].style
    if content is None:
        raise web.HTTPNotFound
    headers = {hdrs.CACHE_CONTROL: _FOREVER}
    return web.Response(text=content, content_type="text/css", headers=headers)


@routes.get("/logo", name="logo")
async def logo(request: web.Request) -> web.StreamResponse:
    """Serve the picture: as one alone, an SVG runs nothing."""
    picture = request.app[THEME].logo
    if picture is None:
        raise web.HTTPNotFound
    headers = {
        hdrs.CACHE_CONTROL: _FOREVER,
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    return web.Response(body=picture.content, content_type=picture.content_type, headers=headers)


def style_of(accent: str) -> str:
    """Return the style sheet of an accent colour, ``#rrggbb``."""
    light, dark = (
        _tokens(_parse(accent), surface, towards)
        for surface, towards in ((_WHITE, _BLACK), (_DARK_SURFACE, _WHITE))
    )
    return (
        f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{\n  :root {{ {dark} }}\n}}\n"
    )


def contrast(one: _Color, other: _Color) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _tokens(color: _Color, surface: _Color, towards: _Color) -> str:
    """Return the variables of a colour on a surface; it goes ``towards`` what can be read there."""
    soft = _mix(color, surface, _SOFT)
    accent = _readable(color, soft, towards)
    on_it = max((_BLACK, _WHITE), key=lambda each: contrast(accent, each))
    tokens = {"accent": accent, "accent-soft": soft, "on-accent": on_it}
    return " ".join(f"--{name}: {_written(each)};" for name, each in tokens.items())


def _readable(color: _Color, against: _Color, towards: _Color) -> _Color:
    """Return the nearest colour on the way to another one that can be read on a third."""
    steps = (_mix(color, towards, step / _STEPS) for step in range(_STEPS + 1))
    return next((each for each in steps if contrast(each, against) >= _READABLE), towards)


def _mix(color: _Color, other: _Color, share: float) -> _Color:
    first, second, third = (
        one * (1 - share) + two * share for one, two in zip(color, other, strict=True)
    )
    return first, second, third


def _luminance(color: _Color) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - of sRGB
        for part in color
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parse(text: str) -> _Color:
    red, green, blue = (int(text[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def _written(color: _Color) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in color)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
