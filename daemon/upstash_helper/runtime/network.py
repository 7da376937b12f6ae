"""How the daemon connects to Upstash, for its owner: proxies and certificates, from its settings and environment."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from upstash_helper.protocol import wire
from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.system import proxies
from upstash_helper.system.blocking_call import Busy, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.settings.config import Settings

logger = logging.getLogger(__name__)

READ_SECONDS: Final = 1.0
"""The rest of the status must not wait longer for it."""


class NetworkReader:
    """
    Reads it in a thread: on Windows and macOS, Python resolves the name of the host before it compares it with the
    proxy's exceptions (before 3.13), and a network without an answer takes many seconds.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """
        Args:
            settings: The settings.
            environ: The daemon's environment.
        """
        self._settings = settings
        self._environ = environ
        self._worker: Final = Worker("network-settings")

    async def read(self) -> wire.Network | None:
        """Return how requests are sent; None if the system does not answer in time."""
        try:
            return await self._worker.run(lambda _: network_of(self._settings, self._environ), deadline=READ_SECONDS)
        except (Busy, DeadlineExceeded):
            return None
        except JobFailed as failed:
            logger.warning("network_not_read", extra={"error": type(failed.error).__name__})
            return None


def network_of(settings: Settings, environ: Mapping[str, str]) -> wire.Network:
    """
    Return how requests to the Developer API are sent. A password of the proxy is left out.

    Args:
        settings: The settings.
        environ: The daemon's environment.
    """
    from upstash_helper.system.trust import certificate_variable

    host = urlsplit(settings.api_url).hostname or ""
    proxy, source = None, None
    try:
        if host not in LOOPBACK_HOSTS and (found := proxies.find_proxy("https", host, settings.proxies)) is not None:
            proxy, source = proxies.without_password(found.url), found.source
    except proxies.UnsupportedProxy as error:
        source = error.source  # each request reports the problem
    exceptions, certificates = proxies.exceptions_variable(environ), certificate_variable(environ)
    return wire.Network(
        proxy=proxy,
        proxy_source=source,
        no_proxy=settings.no_proxy if settings.no_proxy is not None else environ.get(exceptions or ""),
        ca_file=settings.ca_file or environ.get(certificates or ""),
    )
