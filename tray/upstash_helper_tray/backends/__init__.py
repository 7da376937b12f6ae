"""
How an icon gets on a panel: the one place that knows pystray, D-Bus and X11.

``open_screen`` is the one place where a backend is chosen. Nothing that draws or connects is imported before that.
"""

from __future__ import annotations

from upstash_helper_tray.backends.selection import find_backend, open_screen

__all__ = ["find_backend", "open_screen"]
