"""Recognizing the tray icon, and its menu, in a screenshot of a panel."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tests.support.virtual_desktop import HEIGHT
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image


def looks_like(status: IconStatus) -> Callable[[Image], bool]:
    """Return the condition that an image of the icon resembles a status, and none of the others more."""

    def matches(icon: Image) -> bool:
        distances = {one: distance(icon, one) for one in IconStatus}
        return distances[status] < ALIKE and min(distances, key=distances.__getitem__) == status

    return matches


ALIKE = 25.0
"""Mean difference of 255 levels, since the panel scales the icon. Two statuses differ by more than 50."""


def distance(icon: Image, status: IconStatus) -> float:
    """Return the difference between an image of the icon and a status, at the size and position that fit best."""
    return min(
        _distance(icon, rendering, (icon.width - rendering.width) // 2 + dx, (icon.height - rendering.height) // 2 + dy)
        for rendering in scaled(status)
        for dx in range(-2, 3)
        for dy in range(-2, 3)
    )


@cache
def scaled(status: IconStatus) -> tuple[Image, ...]:
    """Return the images of a status as the panel may scale them: it takes one size and fits it into its height."""
    sizes = range(HEIGHT // 2, HEIGHT - 5, 2)
    return tuple(one.resize((size, size)) for one in renderings(status) if one.width < HEIGHT for size in sizes)


def _distance(icon: Image, rendering: Image, x: int, y: int) -> float:
    from PIL import Image as Images
    from PIL import ImageChops, ImageStat

    box = (x, y, x + rendering.width, y + rendering.height)
    expected = Images.new("RGB", rendering.size, icon.getpixel((0, 0)))
    expected.paste(rendering, (0, 0), rendering)
    return float(sum(ImageStat.Stat(ImageChops.difference(icon.crop(box), expected)).mean) / 3)


def differs(before: Image, after: Image) -> bool:
    """Return whether the display below the panel has changed."""
    from PIL import ImageChops

    below = (0, HEIGHT + 2, *before.size)
    return ImageChops.difference(before.crop(below), after.crop(below)).getbbox() is not None
