"""Images in the format of StatusNotifierItem."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

Pixmaps = list[list[object]]
"""Width, height, and pixels of each image: D-Bus signature ``a(iiay)``."""


def pixmaps(images: Sequence[Image]) -> Pixmaps:
    """
    Return images as ARGB32 in network byte order.

    https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/Icons/
    """
    from PIL import Image

    converted: Pixmaps = []
    for image in images:
        red, green, blue, alpha = image.convert("RGBA").split()
        converted.append([image.width, image.height, Image.merge("RGBA", (alpha, red, green, blue)).tobytes()])
    return converted
