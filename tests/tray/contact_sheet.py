"""
All icon images on panels of several colors, in one image for review.

Run with: .venv/bin/python -m tests.tray.contact_sheet OUT.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from PIL import Image

from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

PANELS: Final = ((255, 255, 255), (246, 246, 246), (128, 128, 128), (32, 32, 32), (0, 0, 0))
_MAGNIFIED: Final = 24
_TIMES: Final = 6
_GAP: Final = 10


def sheet() -> Image.Image:
    """Return a block for each panel color, with a line for each status: all sizes, and the small ones magnified."""
    lines = [_line(status, panel) for panel in PANELS for status in IconStatus]
    width = max(line.width for line in lines)
    whole = Image.new("RGB", (width, sum(line.height for line in lines)))
    y = 0
    for line in lines:
        whole.paste(line, (0, y))
        y += line.height
    return whole


def _line(status: IconStatus, panel: tuple[int, int, int]) -> Image.Image:
    shown = list(renderings(status))
    small = [one for one in shown if one.width <= _MAGNIFIED]
    shown += [one.resize((one.width * _TIMES, one.height * _TIMES), Image.Resampling.NEAREST) for one in small]
    size = (sum(one.width + _GAP for one in shown) + _GAP, max(one.height for one in shown) + _GAP)
    line = Image.new("RGBA", size, panel)
    x = _GAP
    for one in shown:
        line.alpha_composite(one, (x, (size[1] - one.height) // 2))
        x += one.width + _GAP
    return line.convert("RGB")


if __name__ == "__main__":
    sheet().save(Path(sys.argv[1]))
