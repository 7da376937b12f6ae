"""The computer's user, while an agent is at work: signs in with the browser, and decides through the owner's API."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.support.world import World

LOOK_SECONDS = 0.05
MAX_PAGES = 10
"""How many pages lead from the address that a client names back to the client."""
NAVIGATION = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


class User:
    """Approves access, and answers questions in the order in which they are asked."""

    def __init__(
        self, world: World, *, answers: Sequence[bool] = (), first: Mapping[str, Any] | None = None, **granted: Any
    ) -> None:
        """
        Args:
            world: The daemon.
            answers: What the user answers to questions: yes or no.
            first: The body of the first approval. Default: that of all others.
            granted: The body of an approval.
        """
        self.requests: list[dict[str, Any]] = []
        """The requests for access that were approved."""
        self.questions: list[dict[str, Any]] = []
        """The questions that were answered."""
        self._world = world
        self._answers = list(answers)
        self._granted = granted
        self._first = granted if first is None else first

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Decide until leaving."""
        deciding = asyncio.create_task(self._decide())
        try:
            yield
        finally:
            deciding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await deciding

    async def _decide(self) -> None:
        while True:
            for pairing in (await self._world.get("/v1/pairings")).json["pairings"]:
                granted = self._granted if self.requests else self._first
                self.requests.append(pairing)
                approved = await self._world.call("POST", f"/v1/pairings/{pairing['id']}/approve", granted)
                assert 200 == approved.status, approved.text
            for question in (await self._world.get("/v1/confirmations")).json["confirmations"]:
                self.questions.append(question)
                answer = "allow" if self._answers.pop(0) else "deny"
                decided = await self._world.call("POST", f"/v1/confirmations/{question['id']}/{answer}")
                assert 200 == decided.status, decided.text
            await asyncio.sleep(LOOK_SECONDS)

    async def browse(self, url: str) -> None:
        """Open the authorization server's page, wait there for the decision, and return to the client."""
        address = URL(url, encoded=True)
        daemon = address.origin()
        for _ in range(MAX_PAGES):
            here = {"Host": str(address.authority), **NAVIGATION}
            page = await self._world.get(address.raw_path_qs, headers=here, token=None)
            if 303 != page.status:
                await self._wait(address)
                continue
            address = daemon.join(URL(page.headers["Location"], encoded=True))
            if address.origin() != daemon:
                break
        async with aiohttp.ClientSession() as browser, browser.get(address, headers=NAVIGATION) as response:
            assert 200 == response.status, await response.text()

    async def _wait(self, page: URL) -> None:
        """Wait for the decision, as the script of the page does, which is then loaded again."""
        fetch = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
        here = {"Host": str(page.authority), "Origin": str(page.origin()), **fetch}
        answer = await self._world.call("POST", f"{page.raw_path}/decision", headers=here, token=None)
        assert 200 == answer.status, answer.text
