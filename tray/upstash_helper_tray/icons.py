"""
The icon's pictures, drawn by code at each size that a panel asks for.

They tell a small story with the product's mark, so that nobody has to tell colours apart. The tile is the helper, the
dot in the cup is the account: crossed out there is no helper; hollow, with an empty cup, there is no account; with
three dots a sign-in runs; full, with the dot in the cup, all is well; with an exclamation mark the user is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from upstash_helper_tray.state import Sign

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    Colour = tuple[int, int, int, int]

# What panels have at 100 % and at 200 %, and some between: none has to scale, which would blur the lines.
SIZES: Final = (16, 20, 22, 24, 32, 44, 48, 64)

# No panel's colour is known. These three are dark enough to stand out from white and light enough to stand out from
# #202020, each by 3:1 and more; on the greys between, the white on them does (WCAG 2.2, 1.4.11).
GREEN: Final = (0, 135, 90, 255)  # --accent of the pages
SLATE: Final = (102, 114, 109, 255)
RED: Final = (208, 66, 36, 255)
WHITE: Final = (255, 255, 255, 255)

# Each pixel is the mean of so many squared. Straight edges are on whole pixels: this is for the curves.
_FINE: Final = 8


@cache
def renderings(sign: Sign) -> tuple[Image, ...]:
    """Return the picture of ``sign`` in all ``SIZES``, RGBA, the smallest first. They are shared: not to be changed."""
    return tuple(_drawn(sign, size) for size in SIZES)


def _drawn(sign: Sign, size: int) -> Image:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGBA", (size * _FINE, size * _FINE))
    pen = _Pen(ImageDraw.Draw(canvas), _Grid.of(size))
    match sign:
        case Sign.ABSENT:
            pen.tile(SLATE)
            pen.cross(WHITE)
        case Sign.DISCONNECTED:
            pen.hollow_tile(SLATE)
            pen.cup(SLATE)
        case Sign.CONNECTING:
            pen.hollow_tile(GREEN)
            pen.three_dots(GREEN)
        case Sign.CONNECTED:
            pen.tile(GREEN)
            pen.cup(WHITE)
            pen.dot(WHITE)
        case Sign.ATTENTION:
            pen.tile(RED)
            pen.exclamation_mark(WHITE)
    return canvas.reduce(_FINE)


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Where things are at one size: in pixels, and whole ones wherever a straight edge would blur otherwise."""

    size: int
    margin: int
    corner: float
    edge: int
    """How wide the edge of a hollow tile is."""
    line: int
    """How wide the cup's line is."""
    arm: int
    """From the middle to the outside of the cup."""
    top: int
    bottom: int
    dot: float
    """The radius of the dot in the cup, as of the three."""
    step: int
    """From the middle of one of the three dots to the next."""

    @classmethod
    def of(cls, size: int) -> _Grid:
        """Return the mark of the pages (``web/pages/icon.svg``, 32 units wide) at ``size``, a bit bolder than there."""
        margin = size // 16
        unit = (size - 2 * margin) / 32
        return cls(
            size=size,
            margin=margin,
            corner=8 * unit,
            edge=max(1, round(2.2 * unit)),
            line=max(2, round(3.8 * unit)),
            arm=round(8.75 * unit),
            top=margin + round(7.5 * unit),
            bottom=margin + round(25.5 * unit),
            dot=max(1.15, 2.7 * unit),
            step=round(7.6 * unit),
        )

    @property
    def middle(self) -> int:
        return self.size // 2


class _Pen:
    """Draws the parts of the mark, each over what is there."""

    def __init__(self, draw: ImageDraw, grid: _Grid) -> None:
        self._draw = draw
        self._grid = grid

    def tile(self, colour: Colour, *, inset: int = 0) -> None:
        grid = self._grid
        near, far = grid.margin + inset, grid.size - grid.margin - inset
        self._rounded((near, near, far, far), grid.corner - inset, colour)

    def hollow_tile(self, colour: Colour) -> None:
        self.tile(colour)
        self.tile(WHITE, inset=self._grid.edge)

    def cup(self, colour: Colour) -> None:
        """Draw two arms with round ends, and half a ring under them."""
        grid = self._grid
        turn = grid.bottom - grid.arm
        self._draw.arc(self._box(grid.middle, turn, grid.arm), 0, 180, colour, grid.line * _FINE)
        for left in (grid.middle - grid.arm, grid.middle + grid.arm - grid.line):
            self._rounded((left, grid.top, left + grid.line, turn + grid.line / 2), grid.line / 2, colour)

    def dot(self, colour: Colour) -> None:
        self._disc(self._grid.middle, self._grid.top + self._grid.dot, self._grid.dot, colour)

    def three_dots(self, colour: Colour) -> None:
        grid = self._grid
        radius = min(grid.dot * 1.1, (grid.step - 1) / 2)  # at least a pixel is between them
        for offset in (-grid.step, 0, grid.step):
            self._disc(grid.middle + offset, grid.middle, radius, colour)

    def cross(self, colour: Colour) -> None:
        grid = self._grid
        width = grid.line * 1.25  # a slanted line looks thinner than an upright one of the same width
        near = round(grid.size * 0.32)
        far = grid.size - near
        for ends in (((near, near), (far, far)), ((near, far), (far, near))):
            self._draw.line([(x * _FINE, y * _FINE) for x, y in ends], colour, round(width * _FINE))
            for x, y in ends:
                self._disc(x, y, width / 2, colour)

    def exclamation_mark(self, colour: Colour) -> None:
        grid = self._grid
        half = max(1, round(grid.line * 0.6))
        near, far = grid.middle - half, grid.middle + half
        point = grid.bottom - 2 * half
        gap = max(1, half * 2 // 3)
        corner = half * 0.8 if half > 1 else 0  # of two pixels nothing would be left in full colour
        self._rounded((near, grid.top - grid.margin // 2, far, point - gap), corner, colour)
        self._rounded((near, point, far, grid.bottom), corner, colour)

    def _disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self._draw.ellipse(self._box(x, y, radius), colour)

    def _box(self, x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        # Pillow counts the last pixel in.
        return ((x - radius) * _FINE, (y - radius) * _FINE, (x + radius) * _FINE - 1, (y + radius) * _FINE - 1)

    def _rounded(self, box: tuple[float, float, float, float], radius: float, colour: Colour) -> None:
        left, top, right, bottom = (edge * _FINE for edge in box)
        self._draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius * _FINE, colour)
