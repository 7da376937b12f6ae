"""Approving requests without the user: only a daemon whose upstream is a sandbox starts with that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from upstash_helper.settings.profiles import SettingsError
from upstash_helper.system.clock import SystemClock
from upstash_helper.upstream.sandbox import SandboxCheck

if TYPE_CHECKING:
    from upstash_helper.settings.config import Profile

logger = logging.getLogger(__name__)


async def require_sandbox(profile: Profile) -> None:
    """
    Check that all URLs of the settings are those of one sandbox, which answers now.

    A URL on the loopback interface proves nothing: it may be a tunnel to Upstash, or another server. A sandbox says
    what it is at a path that nothing else has, and names its own URLs.

    Raises:
        SettingsError: If they are not.
    """
    settings = profile.settings
    check = SandboxCheck(urls=settings.upstream_urls, clock=SystemClock())
    try:
        is_sandbox = await check.answers_now()
    finally:
        await check.close()
    if not is_sandbox:
        logger.error("auto_approve_refused", extra={"api_url": settings.api_url})
        urls = ", ".join(f"{name} {url}" for name, url in settings.upstream_urls.items())
        message = (
            f"{profile.sources['auto_approve']}: setting 'auto_approve': it is only for a sandbox, and these URLs are"
            f" not those of one that is running: {urls}. Start it first (upstash-helper sandbox), or remove"
            " auto_approve."
        )
        raise SettingsError(message)
    logger.warning("auto_approve", extra={"api_url": settings.api_url})
