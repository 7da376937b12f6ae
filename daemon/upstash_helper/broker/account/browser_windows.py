"""The limit on the browser windows that apps have the daemon open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker.apps.rate_limits import SlidingWindow

if TYPE_CHECKING:
    from upstash_helper.broker.apps.sites import Sites
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Clock

SECONDS: Final = 60.0
"""An app can have a window opened once in this time."""
MAX_OF_ALL_APPS: Final = 3
"""Windows within that time for all apps together."""

_APPS: Final = 256


class BrowserWindows:
    """
    Decides whether the daemon opens a browser window for a caller now. The user's own tools are not limited.

    An app is counted by its site, and a program by its file, so that neither requesting access again nor another
    subdomain resets the limit.
    """

    def __init__(self, *, sites: Sites, clock: Clock) -> None:
        self._sites = sites
        self._of_app = SlidingWindow(limit=1, seconds=SECONDS, keys=_APPS, clock=clock)
        self._of_all = SlidingWindow(limit=MAX_OF_ALL_APPS, seconds=SECONDS, keys=1, clock=clock)

    def take(self, caller: Caller) -> float:
        """Count a window and return 0, or return the seconds until one is allowed and count none."""
        if caller.identity is None:
            return 0.0
        key = self._sites.limit_key(caller.identity)
        wait = max(self._of_app.wait(key), self._of_all.wait("all"))
        if wait == 0.0:
            self._of_app.take(key)
            self._of_all.take("all")
        return wait
