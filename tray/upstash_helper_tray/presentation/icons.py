"""
The icon images, drawn at each size that a panel asks for.

Each status has its own shape, so that it can be recognized without color. All are variations of the product's mark, a
cup with a dot above it on a tile: a cross if the daemon is not running, a hollow tile with an empty cup if no account
is connected, three dots while signing in, the full mark if connected, and an exclamation mark if the user has to act.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    Color = tuple[int, int, int, int]

# The sizes that panels use at 100% and 200% scaling, and some in between: scaling an image would blur its lines.
SIZES: Final = (16, 20, 22, 24, 32, 44, 48, 64)

# The panel's color is unknown. Each of these three contrasts with white and with #202020 by at least 3:1; on the grays
# in between, the white drawn on them does (WCAG 2.2, 1.4.11).
GREEN: Final = (0, 135, 90, 255)  # --accent of the pages
SLATE: Final = (102, 114, 109, 255)
RED: Final = (208, 66, 36, 255)
WHITE: Final = (255, 255, 255, 255)

# Supersampling factor, for the curves; straight edges are on whole pixels.
_SCALE: Final = 8


@cache
def renderings(status: IconStatus) -> tuple[Image, ...]:
    """Return the RGBA images for a status in all ``SIZES``, smallest first. They are cached: do not modify them."""
    return tuple(_draw(status, size) for size in SIZES)


def _draw(status: IconStatus, size: int) -> Image:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGBA", (size * _SCALE, size * _SCALE))
    pen = _Pen(ImageDraw.Draw(canvas), _Grid.of(size))
    match status:
        case IconStatus.ABSENT:
            pen.tile(SLATE)
            pen.cross(WHITE)
        case IconStatus.DISCONNECTED:
            pen.hollow_tile(SLATE)
            pen.cup(SLATE)
        case IconStatus.CONNECTING:
            pen.hollow_tile(GREEN)
            pen.three_dots(GREEN)
        case IconStatus.CONNECTED:
            pen.tile(GREEN)
            pen.cup(WHITE)
            pen.dot(WHITE)
        case IconStatus.ATTENTION:
            pen.tile(RED)
            pen.exclamation_mark(WHITE)
    return canvas.reduce(_SCALE)


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Positions at one size in pixels, rounded wherever a straight edge would blur otherwise."""

    size: int
    margin: int
    corner: float
    edge: int
    """Width of the edge of a hollow tile."""
    line: int
    """Width of the cup's line."""
    arm: int
    """From the center to the outside of the cup."""
    top: int
    bottom: int
    dot: float
    """Radius of the dot above the cup, and of the three dots."""
    step: int
    """Distance between the centers of two of the three dots."""

    @classmethod
    def of(cls, size: int) -> _Grid:
        """Return the mark of the web pages (``web/pages/icon.svg``, 32 units wide) at ``size``, slightly bolder."""
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
    def center(self) -> int:
        return self.size // 2


class _Pen:
    """Draws the parts of the mark on top of each other."""

    def __init__(self, draw: ImageDraw, grid: _Grid) -> None:
        self._draw = draw
        self._grid = grid

    def tile(self, color: Color, *, inset: int = 0) -> None:
        grid = self._grid
        near, far = grid.margin + inset, grid.size - grid.margin - inset
        self._rounded((near, near, far, far), grid.corner - inset, color)

    def hollow_tile(self, color: Color) -> None:
        self.tile(color)
        self.tile(WHITE, inset=self._grid.edge)

    def cup(self, color: Color) -> None:
        """Draw two arms with round ends, and half a ring below them."""
        grid = self._grid
        turn = grid.bottom - grid.arm
        self._draw.arc(self._box(grid.center, turn, grid.arm), 0, 180, color, grid.line * _SCALE)
        for left in (grid.center - grid.arm, grid.center + grid.arm - grid.line):
            self._rounded((left, grid.top, left + grid.line, turn + grid.line / 2), grid.line / 2, color)

    def dot(self, color: Color) -> None:
        self._disc(self._grid.center, self._grid.top + self._grid.dot, self._grid.dot, color)

    def three_dots(self, color: Color) -> None:
        grid = self._grid
        radius = min(grid.dot * 1.1, (grid.step - 1) / 2)  # keep at least one pixel between them
        for offset in (-grid.step, 0, grid.step):
            self._disc(grid.center + offset, grid.center, radius, color)

    def cross(self, color: Color) -> None:
        grid = self._grid
        width = grid.line * 1.25  # a diagonal line looks thinner than a vertical one of the same width
        near = round(grid.size * 0.32)
        far = grid.size - near
        for ends in (((near, near), (far, far)), ((near, far), (far, near))):
            self._draw.line([(x * _SCALE, y * _SCALE) for x, y in ends], color, round(width * _SCALE))
            for x, y in ends:
                self._disc(x, y, width / 2, color)

    def exclamation_mark(self, color: Color) -> None:
        grid = self._grid
        half = max(1, round(grid.line * 0.6))
        near, far = grid.center - half, grid.center + half
        point = grid.bottom - 2 * half
        gap = max(1, half * 2 // 3)
        corner = half * 0.8 if half > 1 else 0  # two rounded pixels would have no fully colored part left
        self._rounded((near, grid.top - grid.margin // 2, far, point - gap), corner, color)
        self._rounded((near, point, far, grid.bottom), corner, color)

    def _disc(self, x: float, y: float, radius: float, color: Color) -> None:
        self._draw.ellipse(self._box(x, y, radius), color)

    def _box(self, x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        # In Pillow the last pixel is part of the box.
        return ((x - radius) * _SCALE, (y - radius) * _SCALE, (x + radius) * _SCALE - 1, (y + radius) * _SCALE - 1)

    def _rounded(self, box: tuple[float, float, float, float], radius: float, color: Color) -> None:
        left, top, right, bottom = (edge * _SCALE for edge in box)
        self._draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius * _SCALE, color)
