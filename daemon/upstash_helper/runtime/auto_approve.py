"""Automatic approval of access requests: the daemon starts with it only if its upstream is a sandbox."""

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
    Check that all URLs in the settings belong to one sandbox that responds now.

    A URL on the loopback interface proves nothing: it may be a tunnel to Upstash, or another server. A sandbox
    identifies itself, with its own URLs, at a path that no other server has.

    Raises:
        SettingsError: If they do not.
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
            f"{profile.sources['auto_approve']}: setting 'auto_approve': it requires a running sandbox, and these URLs"
            f" do not belong to one: {urls}. Start the sandbox first (upstash-helper sandbox), or remove auto_approve."
        )
        raise SettingsError(message)
    logger.warning("auto_approve", extra={"api_url": settings.api_url})
