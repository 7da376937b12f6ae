"""The limit of open files, of which each database needs one and each of its clients two."""

from __future__ import annotations

import contextlib
import sys

ENOUGH = 16_384


def raise_limit() -> None:
    """Raise the soft limit as far as the hard limit allows. Many systems have 256 or 1024 by default."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(OSError, ValueError):  # macOS has another limit, which is not reported
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
