"""
Why tests are skipped on a platform, where several files have the same reason; and Wine.

Wine runs the tests on Windows on Linux (``install/wine``). A test that Windows passes and Wine cannot pass is skipped
under Wine alone, with the reason.
"""

from __future__ import annotations

import sys
from typing import Final

import pytest


def version() -> str | None:
    """Return the version of Wine, or None on Windows itself and on other systems."""
    if sys.platform == "win32":
        import ctypes

        # Only the ntdll of Wine has this function.
        function = getattr(ctypes.WinDLL("ntdll"), "wine_get_version", None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return str(function().decode())
    return None


WINE: Final = version()


def not_under_wine(reason: str) -> pytest.MarkDecorator:
    """Skip a test under Wine. ``reason`` is what Wine does differently, such as ``has no owners of sockets``."""
    return pytest.mark.skipif(WINE is not None, reason=f"platform: Wine {reason}")


symbolic_links: Final = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: on Windows, symbolic links require privileges"
)
