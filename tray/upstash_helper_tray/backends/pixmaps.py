"""Pictures as StatusNotifierItem wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

Pixmaps = list[list[object]]
"""Of each picture its width, its height and its pixels: D-Bus signature ``a(iiay)``."""


def pixmaps(pictures: Sequence[Image]) -> Pixmaps:
    """
    Return pictures as ARGB32 in network byte order.

    https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/Icons/
    """
    from PIL import Image

    made: Pixmaps = []
    for picture in pictures:
        red, green, blue, alpha = picture.convert("RGBA").split()
        made.append([picture.width, picture.height, Image.merge("RGBA", (alpha, red, green, blue)).tobytes()])
    return made
