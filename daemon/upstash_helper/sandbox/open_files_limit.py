"""The limit on open files. Each database needs one, and each of its clients two."""

from __future__ import annotations

import contextlib
import sys

LIMITS = (16_384, 10_240, 4_096)
"""The first one that the system accepts is set. macOS has a maximum that ``getrlimit`` does not report."""


def raise_limit() -> None:
    """Raise the soft limit as far as the hard limit allows. Many systems have 256 or 1024 by default."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in LIMITS:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= limit:
            return
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return
