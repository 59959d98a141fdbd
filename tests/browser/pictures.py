"""Pictures of the pages, for the documents: each page at every width and in both colour schemes."""

import base64
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Final

from playwright.async_api import Browser

SCHEMES: Final = ("light", "dark")
TOUR: Final = ("overview", "webhooks", "event", "delivery", "webhook-verify")
"""What the tour in the documents shows, one by one."""

_HEIGHT: Final = 900
_SHEET_WIDTH: Final = 1280
_TOUR_WIDTH: Final = 1200
_QUALITY: Final = 0.55

# Puts pictures side by side, a row for each list of them, and returns them as WebP.
_COMPOSE: Final = """
async ([rows, width, quality]) => {
  const load = (url) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.src = url;
  });
  const images = await Promise.all(rows.map((row) => Promise.all(row.map(load))));
  const gap = 12;
  const widths = images.map((row) => row.reduce((sum, one) => sum + one.width + gap, -gap));
  const full = Math.max(...widths);
  const scale = Math.min(1, width / full);
  const tall = images.map((row) => Math.max(...row.map((one) => one.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(full * scale);
  canvas.height = Math.round(tall.reduce((sum, one) => sum + one + gap, -gap) * scale);
  const drawing = canvas.getContext("2d");
  drawing.imageSmoothingQuality = "high";
  drawing.fillStyle = "#8a919e";
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  drawing.scale(scale, scale);
  let y = 0;
  images.forEach((row, n) => {
    let x = 0;
    for (const one of row) {
      drawing.drawImage(one, x, y);
      x += one.width + gap;
    }
    y += tall[n] + gap;
  });
  return canvas.toDataURL("image/webp", quality).split(",")[1];
}
"""


async def draw(
    browser: Browser, url: str, paths: Mapping[str, str], widths: Sequence[int], folder: Path
) -> None:
    """Write a sheet of each page, and the pages of the tour, as WebP."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else waits
    taken: dict[tuple[str, str, int], str] = {}
    for scheme, width in product(SCHEMES, widths):
        context = await browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
        page = await context.new_page()
        await page.set_viewport_size({"width": width, "height": _HEIGHT})
        for name, path in paths.items():
            await page.goto(f"{url}{path}", wait_until="load")
            picture = base64.b64encode(await page.screenshot()).decode()
            taken[name, scheme, width] = f"data:image/png;base64,{picture}"
        await context.close()
    for name in paths:
        rows = [[taken[name, scheme, width] for width in reversed(widths)] for scheme in SCHEMES]
        await _write(browser, rows, _SHEET_WIDTH, folder / f"{name}.webp")
        if name in TOUR:
            single = [[taken[name, SCHEMES[0], max(widths)]]]
            await _write(browser, single, _TOUR_WIDTH, folder / f"tour-{name}.webp")


async def _write(browser: Browser, rows: Sequence[Sequence[str]], width: int, file: Path) -> None:
    page = await browser.new_page()
    content: str = await page.evaluate(_COMPOSE, [rows, width, _QUALITY])
    file.write_bytes(base64.b64decode(content))  # noqa: ASYNC240 - nothing else waits
    await page.close()
