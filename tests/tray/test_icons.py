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
GREY = (128, 128, 128)

Colour = tuple[int, int, int]


def on(panel: Colour, picture: Image.Image) -> Image.Image:
    """Return the picture as it is seen on a panel."""
    whole = Image.new("RGBA", picture.size, panel)
    whole.alpha_composite(picture)
    return whole.convert("RGB")


def luminance(colour: Colour) -> float:
    """Return the relative luminance, as WCAG 2.2 has it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def pixels(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    data = picture.convert("RGBA").tobytes()
    return [(data[at], data[at + 1], data[at + 2], data[at + 3]) for at in range(0, len(data), 4)]


def box(picture: Image.Image, panel: Colour) -> tuple[int, int]:
    """Return the width and height of what stands out from the panel."""
    carries = [contrast(one[:3], panel) >= 3 for one in pixels(on(panel, picture))]
    mask = Image.new("L", picture.size)
    mask.putdata([255 * one for one in carries])
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    return right - left, bottom - top


@pytest.mark.parametrize("sign", IconStatus)
def test_every_size_that_panels_ask_for_is_there(sign: IconStatus) -> None:
    """
    A panel finds its size, and the double of it, without scaling: from 16 to 64 pixels, the smallest first.
    """
    pictures = renderings(sign)

    assert [(size, size) for size in (16, 20, 22, 24, 32, 44, 48, 64)] == [one.size for one in pictures]
    assert {"RGBA"} == {one.mode for one in pictures}


@pytest.mark.parametrize("size", range(len(SIZES)), ids=map(str, SIZES))
@pytest.mark.parametrize("panel", [LIGHT[0], GREY, DARK[0]], ids=["light", "grey", "dark"])
def test_no_two_signs_look_alike_without_colours(panel: Colour, size: int) -> None:
    """
    In greyscale each sign differs from every other by more than a stroke: nobody has to tell colours apart.
    """
    grey = {sign: on(panel, renderings(sign)[size]).convert("L") for sign in IconStatus}

    for one, other in combinations(IconStatus, 2):
        difference = ImageChops.difference(grey[one], grey[other])
        # Fewer than 64 of 256 levels are a shade of the same thing. A twelfth of the pixels is a shape.
        changed = ImageStat.Stat(difference.point(lambda level: 255 * (level >= 64))).mean[0] / 255
        assert changed >= 1 / 12, (one, other, changed)


@pytest.mark.parametrize("sign", IconStatus)
@pytest.mark.parametrize("panel", [*LIGHT, *DARK], ids=str)
def test_it_stands_out_from_light_and_dark_panels(panel: Colour, sign: IconStatus) -> None:
    """
    On light and on dark panels the outline is seen at its full size, by a contrast of 3:1.
    """
    for picture in renderings(sign):
        width, height = box(picture, panel)

        assert min(width, height) >= picture.width * 0.8


@pytest.mark.parametrize("sign", IconStatus)
def test_it_is_told_on_any_panel(sign: IconStatus) -> None:
    """
    Even on a panel of the tile's own grey it can be read: light and dark parts of the picture differ by 4.5:1.
    """
    for picture in renderings(sign):
        opaque = [one[:3] for one in pixels(picture) if one[3] == 255]
        white = (255, 255, 255)
        light = [one for one in opaque if contrast(one, white) <= 1.2]
        dark = [one for one in opaque if contrast(one, white) >= 4.5]

        assert min(len(light), len(dark)) / len(opaque) >= 0.05, picture.size


@pytest.mark.parametrize("sign", IconStatus)
def test_the_tile_has_round_corners(sign: IconStatus) -> None:
    """
    Around the tile the panel is seen.
    """
    for picture in renderings(sign):
        last = picture.width - 1

        assert {(0, 0, 0, 0)} == {picture.getpixel(corner) for corner in ((0, 0), (0, last), (last, last), (last, 0))}


def test_straight_lines_are_sharp() -> None:
    """
    At each size the cup's arms and the tile's sides are on whole pixels: a row across them has two colours alone.
    """
    for picture in renderings(IconStatus.DISCONNECTED):
        y = picture.height * 7 // 16  # above the cup's turn
        row = {picture.getpixel((x, y)) for x in range(picture.width)}

        assert 3 == len(row), picture.size  # the line, the ground, and nothing at all around the tile


def test_pictures_are_drawn_alike_each_time_and_but_once() -> None:
    """
    The same sign has the same picture, so that a screen can tell that nothing has changed.
    """
    again = renderings.__wrapped__(IconStatus.CONNECTED)

    assert [one.tobytes() for one in renderings(IconStatus.CONNECTED)] == [one.tobytes() for one in again]
    assert renderings(IconStatus.CONNECTED) is renderings(IconStatus.CONNECTED)


def test_importing_them_does_not_load_pillow() -> None:
    """
    Whoever only wants to know whether a tray can be shown does not wait for Pillow.
    """
    code = "import sys, upstash_helper_tray.presentation.icons; print('PIL' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()
