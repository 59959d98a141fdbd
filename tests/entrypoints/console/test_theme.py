"""Whose console it is: name, picture and colour, which can be read in both colour schemes."""

import re
from pathlib import Path

import pytest

from notification_core.errors import InvalidSettings
from notification_entrypoints.config.settings import load_settings
from notification_entrypoints.console.theme import contrast, style_of
from tests.entrypoints.console.conftest import HOSTILE, Console, console_of

SECRET = {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
WHITE, DARK = (1.0, 1.0, 1.0), (0x15 / 255, 0x18 / 255, 0x1E / 255)


def color(text: str) -> tuple[float, float, float]:
    red, green, blue = (int(text[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


@pytest.mark.parametrize("accent", ["#000000", "#ffffff", "#ffee00", "#3451c7", "#808080"])
def test_any_colour_can_be_read_in_both_schemes(accent: str) -> None:
    found = re.findall("--([a-z-]+): (#[0-9a-f]{6});", style_of(accent))
    for tokens, surface in ((dict(found[:3]), WHITE), (dict(found[3:]), DARK)):
        shown = color(tokens["accent"])
        for behind in (surface, color(tokens["accent-soft"])):
            assert contrast(shown, behind) >= 4.45
        assert contrast(color(tokens["on-accent"]), shown) >= 4.45


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert "--accent: #1d3fb8;" in style_of("#1d3fb8")


async def test_pages_show_the_name_the_picture_and_the_colour(
    console: Console, tmp_path: Path
) -> None:
    picture = tmp_path / "logo.svg"
    picture.write_bytes(SVG)
    chosen = {
        "CONSOLE_NAME": HOSTILE,
        "CONSOLE_LOGO_FILE": str(picture),
        "CONSOLE_ACCENT_COLOR": "#AA0044",
    }
    settings = load_settings(SECRET | chosen).console
    stage = console.stage
    async with console_of(stage, stage.but(settings={"console": settings})) as themed:
        pages = [await themed.get(path) for path in (themed.of_environment(), "/nothing")]
        for page in pages:
            assert HOSTILE in page.words
        (style,) = {
            *re.findall(r'"(/console/theme\.css\?[0-9a-f]+)"', "".join(page.text for page in pages))
        }
        (logo,) = {
            *re.findall(r'"(/console/logo\?[0-9a-f]+)"', "".join(page.text for page in pages))
        }
        served = await themed.get(style)
        assert "--accent: #aa0044;" in served.text
        assert "immutable" in served.headers["Cache-Control"]
        async with themed.session.get(f"{themed.url}{logo}") as response:
            assert (await response.read(), response.content_type) == (SVG, "image/svg+xml")
            assert "sandbox" in response.headers["Content-Security-Policy"]


async def test_without_any_of_it_there_is_ours(console: Console) -> None:
    page = await console.get(console.of_environment())
    assert "Notification Management" in page.words
    assert "theme.css" not in page.text
    for path in ("/theme.css", "/logo"):
        assert (await console.get(path)).status == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSOLE_NAME", ""),
        ("CONSOLE_ACCENT_COLOR", "red"),
        ("CONSOLE_ACCENT_COLOR", "#fff"),
        ("CONSOLE_LOGO_FILE", "/etc/hostname"),
        ("CONSOLE_LOGO_FILE", "/nowhere/logo.svg"),
        ("CONSOLE_ORIGIN", "https://notify.example.com/"),
        ("CONSOLE_ORIGIN", "https://*.example.com"),
        ("CONSOLE_FRAME_ANCESTORS", "*"),
        ("CONSOLE_FRAME_ANCESTORS", "https://a.example; script-src *"),
        ("CONSOLE_FRAME_ANCESTORS", "'self'"),
        ("CONSOLE_SESSION_LIFETIME", "0"),
    ],
)
def test_what_cannot_be_shown_or_trusted_is_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=name):
        load_settings(SECRET | {name: value})


def test_a_picture_is_bounded(tmp_path: Path) -> None:
    picture = tmp_path / "logo.png"
    picture.write_bytes(b"x" * (64 * 1024 + 1))
    with pytest.raises(InvalidSettings, match="larger"):
        load_settings(SECRET | {"CONSOLE_LOGO_FILE": str(picture)})
