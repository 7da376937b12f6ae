"""The signs that stand above the pages: strokes on a grid of 24, as those of the dashboard."""

from __future__ import annotations

from typing import Final, Literal

Sign = Literal[
    "done", "key", "waiting", "cancelled", "person", "settings", "late", "pause", "fault", "offline", "shield",
    "lock", "mail", "lost",
]  # fmt: skip

SIGNS: Final[dict[Sign, tuple[str, ...]]] = {
    "done": ("M5 12.5 10 17.5 19.5 7",),
    "key": ("M8 19a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M11 12.5 19.5 4M16 7.5l3 3"),
    "waiting": ("M14 4.5h5.5v15H14", "M4 12h10.5M11 8.5 14.5 12 11 15.5"),
    "cancelled": ("M6.5 6.5l11 11M17.5 6.5l-11 11",),
    "person": (
        "M12 11.5a3.75 3.75 0 1 0 0-7.5 3.75 3.75 0 0 0 0 7.5z",
        "M4.5 20c.6-3.7 3.5-5.5 7.5-5.5s6.9 1.8 7.5 5.5",
    ),
    "settings": (
        "M4 7h9M17 7h3M4 17h3M11 17h9",
        "M15 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
        "M9 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
    ),
    "late": ("M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17z", "M12 7.5V12l3 2"),
    "pause": ("M9 6v12M15 6v12",),
    "fault": ("M12 4.5 21 19.5H3z", "M12 10v4.5M12 17v.01"),
    "offline": ("M7.5 18.5h9a4 4 0 0 0 1-7.9A5.5 5.5 0 0 0 7.2 9.3a4.6 4.6 0 0 0 .3 9.2z", "M4 4l16 16"),
    "shield": ("M12 3.5 19 6v5.5c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6z", "M12 8.5v4M12 15.5v.01"),
    "lock": ("M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"),
    "mail": ("M3.5 6h17v12.5h-17z", "M4 6.5l8 6.5 8-6.5"),
    "lost": ("M9 9.2a3.1 3.1 0 1 1 4.6 2.7c-1 .6-1.6 1.2-1.6 2.3", "M12 17.5v.01"),
}  # fmt: skip
