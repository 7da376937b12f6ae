"""
Using a menu that a panel draws, with the mouse: where its entries are on the screen.

A menu is a part of the screenshot that differs from the one before, and each of its entries a line of text.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support.until import until
from tests.support.virtual_desktop import HEIGHT
from upstash_helper_tray.menu.guard import SETTLE_SECONDS

if TYPE_CHECKING:
    from PIL.Image import Image

    from tests.support.tray_host import Line
    from tests.support.virtual_desktop import VirtualDesktop

Box = tuple[int, int, int, int]
"""Left, top, right, and bottom."""

_DIFFERENT: Final = 24
"""Levels, of 255; a shadow differs less."""
_MARGIN: Final = 14
"""Pixels from a menu's left edge to its text, at most, without the border and the shadow."""
_STRIP: Final = 140
"""Pixels of each text that are looked at."""


class OpenMenu(NamedTuple):
    """A menu on the screen."""

    box: Box
    rows: list[int]
    """The middle of each entry, without separators."""


def open_menu(desktop: VirtualDesktop, menu: Line, *, x: int = HEIGHT // 2) -> OpenMenu:
    """Open the menu with a click on the icon, and wait until all its entries are drawn."""
    before = desktop.picture()
    desktop.click(x, right=True)
    return _drawn(desktop, before, menu, (0, HEIGHT // 2, *before.size))


def choose(desktop: VirtualDesktop, menu: Line, *path: str, x: int = HEIGHT // 2) -> None:
    """
    Open the menu, and click on the entry at a path of texts, as a user who reads it first.

    Args:
        desktop: The desktop.
        menu: The menu, as the tray describes it to the panel.
        path: The beginnings of the texts.
        x: Where the icon is.
    """
    shown, line = open_menu(desktop, menu, x=x), menu
    for text in path[:-1]:
        before = desktop.picture()
        desktop.move(*_place(shown, line, text))
        line = line.find(text)
        shown = _drawn(desktop, before, line, _beside(shown.box, before.size))
    time.sleep(SETTLE_SECONDS)  # before, a choice does not count
    desktop.click(*_place(shown, line, path[-1]))


def _place(shown: OpenMenu, line: Line, text: str) -> tuple[int, int]:
    number = _entries(line).index(line.find(text))
    return shown.box[0] + 2 * _MARGIN, shown.rows[number]


def _entries(line: Line) -> list[Line]:
    return [one for one in line.lines if not one.separator]


def _beside(box: Box, size: tuple[int, int]) -> Box:
    """Return the part of the screen to the right of a menu, where a submenu appears."""
    return box[2], HEIGHT, *size


def _drawn(desktop: VirtualDesktop, before: Image, menu: Line, where: Box) -> OpenMenu:
    """Wait until a menu with the expected number of entries is drawn in a part of the screen."""
    expected = len(_entries(menu))
    found: list[OpenMenu] = []

    def look() -> OpenMenu | None:
        now = desktop.picture()
        box = _changed(before.crop(where), now.crop(where))
        if box is None or box[2] - box[0] < _STRIP:
            return None
        left, top = box[0] + where[0], box[1] + where[1]
        box = (left, top, box[2] + where[0], box[3] + where[1])
        found[:] = [OpenMenu(box, text_rows(now, box))]
        return found[0] if len(found[0].rows) == expected else None

    try:
        shown = until(look)
    except AssertionError:
        desktop.picture().save(desktop.keep)
        message = f"{expected} entries are expected, and this was found: {found}; see {desktop.keep}"
        raise AssertionError(message) from None
    assert shown is not None
    return shown


def _changed(before: Image, after: Image) -> Box | None:
    from PIL import ImageChops

    difference = ImageChops.difference(before, after).convert("L")
    return difference.point(lambda level: 255 * (level > _DIFFERENT)).getbbox()


def text_rows(picture: Image, box: Box) -> list[int]:
    """Return the middle of each line of text in a part of a picture."""
    left, top, right, bottom = box
    strip = picture.crop((left + _MARGIN, top, min(left + _MARGIN + _STRIP, right), bottom)).convert("L")
    pixels, width = strip.tobytes(), strip.width
    bands: list[list[int]] = []
    for y in range(strip.height):
        line = pixels[y * width : (y + 1) * width]
        if max(line) - min(line) <= 2 * _DIFFERENT:
            continue
        if bands and y - bands[-1][-1] <= 2:
            bands[-1].append(y)
        else:
            bands.append([y])
    return [top + (band[0] + band[-1]) // 2 for band in bands if len(band) > 4]
