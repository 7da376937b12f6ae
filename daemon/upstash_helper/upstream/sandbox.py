"""
Checks whether the upstream is a sandbox (``upstash-helper sandbox``) and not Upstash.

A URL on the loopback interface is not enough: it may be a tunnel to Upstash. A sandbox serves its identity and its URLs
at a well-known path. Only a daemon whose URLs are all on the loopback interface requests it, only when the answer is
needed, and not more often than every ``RECHECK_SECONDS``: an idle daemon sends nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.broker.ports import Clock

PATH: Final = "/.well-known/upstash-sandbox"
SERVICE: Final = "upstash-helper-sandbox"

ASK_SECONDS: Final = 1.0
"""Deadline of the request for what the user sees. The server is on this machine."""
DECISION_SECONDS: Final = 10.0
"""Deadline of the request for decisions about access: tests often run on a busy machine, without anyone to decide."""
RECHECK_SECONDS: Final = 30.0
"""How long an answer is valid. Another server may have the port later."""
RETRY_SECONDS: Final = 1.0
"""The minimum time between requests if the last one got no answer."""
_PAUSE_SECONDS: Final = 0.02
"""Between two attempts to connect."""
_MAX_BYTES: Final = 4096


class _Identity(msgspec.Struct):
    service: str
    auth_url: str
    api_url: str
    issuer_url: str
    rest_url: str
    rest_tls_url: str | None = None


class SandboxCheck:
    """Asks the upstream whether it is a sandbox."""

    def __init__(self, *, urls: Mapping[str, str], clock: Clock) -> None:
        """
        Args:
            urls: The URLs that receive secrets, by the name of their setting. ``api_url`` must be one of them.
            clock: For the age of an answer.
        """
        self._urls = dict(urls)
        self._clock = clock
        self._possible = all(urlsplit(url).hostname in LOOPBACK_HOSTS for url in urls.values())
        self._http: HttpClient | None = None
        self._turn = asyncio.Lock()
        self._confirmed = False
        self._ask_again_at = 0.0

    async def is_sandbox(self) -> bool:
        """
        Return whether the upstream is a sandbox, for display. A sandbox that has answered before and does not answer
        now still counts.
        """
        if self._possible and self._clock.monotonic() >= self._ask_again_at:
            async with self._turn:
                if self._clock.monotonic() >= self._ask_again_at:
                    await self._ask()
        return self._confirmed

    async def answers_now(self) -> bool:
        """Return whether all URLs belong to a sandbox that answers right now, for decisions about access."""
        if not self._possible:
            return False
        async with self._turn:
            return bool(await self._ask(seconds=DECISION_SECONDS))

    async def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            await self._http.close()

    async def _ask(self, *, seconds: float = ASK_SECONDS) -> bool | None:
        """Ask, and remember the answer. Return None if there is none."""
        if self._http is None:
            # A separate client: a sandbox that is not running must not open the API's circuit breaker.
            self._http = HttpClient(clock=self._clock, connect_seconds=ASK_SECONDS, retry_seconds=_PAUSE_SECONDS)
        request = Request(
            method="GET",
            url=self._urls["api_url"].rstrip("/") + PATH,
            headers={"Accept": "application/json"},
            retry=RetryPolicy.UNSENT,
            deadline=seconds,
            limit=_MAX_BYTES,
        )
        try:
            response = await self._http.send(request)
        except TransportFailed as failure:
            if failure.stage == "connecting" or failure.kind in {"timeout", "network"}:
                self._ask_again_at = self._clock.monotonic() + RETRY_SECONDS
                return None
            answer = False
        else:
            answer = response.status == 200 and self._fits(response.body)
        self._confirmed = answer
        self._ask_again_at = self._clock.monotonic() + RECHECK_SECONDS
        return answer

    def _fits(self, body: bytes) -> bool:
        """Return whether the answer comes from a sandbox that all URLs lead to."""
        try:
            identity = msgspec.json.decode(body, type=_Identity)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        theirs = msgspec.structs.asdict(identity)
        if identity.rest_tls_url is not None and _same_listener(self._urls.get("rest_url", ""), identity.rest_tls_url):
            theirs["rest_url"] = identity.rest_tls_url  # the same databases, on another listener
        return identity.service == SERVICE and all(
            _same_listener(url, theirs[name]) for name, url in self._urls.items()
        )


def _same_listener(ours: str, theirs: str) -> bool:
    """Return whether two URLs lead to the same listener of this machine. ``localhost`` may be either address."""
    try:
        one, other = urlsplit(ours), urlsplit(theirs)
        same_port = (one.port, one.scheme, one.path.rstrip("/")) == (other.port, other.scheme, other.path.rstrip("/"))
    except ValueError:
        return False
    hosts = {one.hostname, other.hostname}
    return same_port and (len(hosts) == 1 or "localhost" in hosts) and hosts <= set(LOOPBACK_HOSTS)
