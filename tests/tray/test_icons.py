"""The icon images: sizes, shapes, contrast, and drawing."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import pytest
from PIL import Image, ImageChops, ImageStat

from upstash_helper_tray.presentation.icons import SIZES, renderings
from upstash_helper_tray.sync.state import IconStatus

LIGHT = ((255, 255, 255), (246, 246, 246))
DARK = ((32, 32, 32), (0, 0, 0))
GRAY = (128, 128, 128)

Color = tuple[int, int, int]


def on(panel: Color, picture: Image.Image) -> Image.Image:
    """Return an image as it looks on a panel."""
    composed = Image.new("RGBA", picture.size, panel)
    composed.alpha_composite(picture)
    return composed.convert("RGB")


def luminance(color: Color) -> float:
    """Return the relative luminance according to WCAG 2.2."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def pixels(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    data = picture.convert("RGBA").tobytes()
    return [(data[at], data[at + 1], data[at + 2], data[at + 3]) for at in range(0, len(data), 4)]


def box(picture: Image.Image, panel: Color) -> tuple[int, int]:
    """Return the width and height of the part that contrasts with the panel by at least 3:1."""
    visible = [contrast(one[:3], panel) >= 3 for one in pixels(on(panel, picture))]
    mask = Image.new("L", picture.size)
    mask.putdata([255 * one for one in visible])
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    return right - left, bottom - top


@pytest.mark.parametrize("status", IconStatus)
def test_all_sizes_are_drawn(status: IconStatus) -> None:
    """Panels get their size, and twice that, without scaling: 16 to 64 pixels, smallest first."""
    pictures = renderings(status)

    assert [(size, size) for size in (16, 20, 22, 24, 32, 44, 48, 64)] == [one.size for one in pictures]
    assert {"RGBA"} == {one.mode for one in pictures}


@pytest.mark.parametrize("size", range(len(SIZES)), ids=map(str, SIZES))
@pytest.mark.parametrize("panel", [LIGHT[0], GRAY, DARK[0]], ids=["light", "gray", "dark"])
def test_statuses_differ_in_grayscale(panel: Color, size: int) -> None:
    """Each differs from every other in its shape, so it can be recognized without color."""
    gray = {status: on(panel, renderings(status)[size]).convert("L") for status in IconStatus}

    for one, other in combinations(IconStatus, 2):
        difference = ImageChops.difference(gray[one], gray[other])
        # A difference below 64 of 256 levels is only another shade. A twelfth of the pixels is a different shape.
        changed = ImageStat.Stat(difference.point(lambda level: 255 * (level >= 64))).mean[0] / 255
        assert changed >= 1 / 12, (one, other, changed)


@pytest.mark.parametrize("status", IconStatus)
@pytest.mark.parametrize("panel", [*LIGHT, *DARK], ids=str)
def test_outline_contrasts_with_light_and_dark_panels(panel: Color, status: IconStatus) -> None:
    """It is visible at its full size with a contrast of at least 3:1."""
    for picture in renderings(status):
        width, height = box(picture, panel)

        assert min(width, height) >= picture.width * 0.8


@pytest.mark.parametrize("status", IconStatus)
def test_icon_is_readable_on_any_panel(status: IconStatus) -> None:
    """Its light and dark parts contrast by 4.5:1, so it is readable even on a panel of the tile's own gray."""
    for picture in renderings(status):
        opaque = [one[:3] for one in pixels(picture) if one[3] == 255]
        white = (255, 255, 255)
        light = [one for one in opaque if contrast(one, white) <= 1.2]
        dark = [one for one in opaque if contrast(one, white) >= 4.5]

        assert min(len(light), len(dark)) / len(opaque) >= 0.05, picture.size


@pytest.mark.parametrize("status", IconStatus)
def test_corners_are_transparent(status: IconStatus) -> None:
    """The tile has rounded corners."""
    for picture in renderings(status):
        last = picture.width - 1

        assert {(0, 0, 0, 0)} == {picture.getpixel(corner) for corner in ((0, 0), (0, last), (last, last), (last, 0))}


def test_straight_edges_are_on_whole_pixels() -> None:
    """A row across the cup's arms and the tile's sides has only the two colors, and transparency."""
    for picture in renderings(IconStatus.DISCONNECTED):
        y = picture.height * 7 // 16  # above the cup's curve
        row = {picture.getpixel((x, y)) for x in range(picture.width)}

        assert 3 == len(row), picture.size  # line, background, and transparent around the tile


def test_images_are_deterministic_and_cached() -> None:
    """Equal images let a screen skip the update."""
    again = renderings.__wrapped__(IconStatus.CONNECTED)

    assert [one.tobytes() for one in renderings(IconStatus.CONNECTED)] == [one.tobytes() for one in again]
    assert renderings(IconStatus.CONNECTED) is renderings(IconStatus.CONNECTED)


def test_import_does_not_load_pillow() -> None:
    """Checking whether an icon can be shown does not need it."""
    code = "import sys, upstash_helper_tray.presentation.icons; print('PIL' in sys.modules)"

    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == completed.stdout.strip()
