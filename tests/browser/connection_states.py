"""Every state of the connection, as the API sends it, and a dashboard that shows it: for screenshots and axe-core."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from playwright.async_api import expect

from upstash_helper.api.server import render
from upstash_helper.broker.account.attempts import Expired, Failed, Pending, no_callback
from upstash_helper.broker.account.connection import ConnectionStatus
from upstash_helper.broker.account.grants import ENDED
from upstash_helper.broker.models import Secret
from upstash_helper.broker.ports import StoreHealth

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

_EMAIL: Final = "ada@example.com"
_SINCE: Final = 1_767_225_600.0
_PENDING: Final = Pending(
    id="a", authorization_url="https://auth.example.com", expires_at=0.0, began=0.0, tls_before=0, state=Secret("s"),
    code_verifier=Secret("v"),
)  # fmt: skip

_GRANT: Final = ConnectionStatus(
    state="connected",
    email=_EMAIL,
    method="grant",
    access="full",
    since=_SINCE,
    grant_name="upstash-helper (laptop)",
)

STATUSES: Final[dict[str, ConnectionStatus]] = {
    "disconnected": ConnectionStatus(state="disconnected"),
    "disconnected-without-a-sign-in": ConnectionStatus(state="disconnected", sign_in=None),
    "sign-in-canceled": ConnectionStatus(
        state="disconnected", attempt=Failed(id="a", expires_at=0.0, reason="access_denied")
    ),
    "sign-in-failed": ConnectionStatus(
        state="disconnected", attempt=Failed(id="a", expires_at=0.0, reason="network_error")
    ),
    "sign-in-expired": ConnectionStatus(state="disconnected", attempt=Expired(id="a", expires_at=0.0)),
    "connecting": ConnectionStatus(state="connecting", attempt=_PENDING),
    "connecting-without-redirect": ConnectionStatus(
        state="connecting", attempt=msgspec.structs.replace(_PENDING, hint=no_callback(0))
    ),
    "connected": ConnectionStatus(
        state="connected", email=_EMAIL, method="oauth", since=_SINCE, key_name="upstash-helper on laptop"
    ),
    "connected-through-the-open-sign-in": _GRANT,
    "connected-read-only": msgspec.structs.replace(_GRANT, access="read_only"),
    "connected-team": msgspec.structs.replace(
        _GRANT, team_id="8f14e45f-ceea-467f-9f3b-2d1c6a0b7e55", team_role="finance"
    ),
    "connected-with-an-api-key": ConnectionStatus(
        state="connected", email=_EMAIL, method="api_key", since=_SINCE, sign_in="partner"
    ),
    "grant-ended": msgspec.structs.replace(_GRANT, state="reconnect_required", detail=ENDED),
    "needs-email": ConnectionStatus(state="needs_email", method="oauth", since=_SINCE),
    "reconnect-required": ConnectionStatus(state="reconnect_required", email=_EMAIL, method="oauth", since=_SINCE),
    "keyring-locked": ConnectionStatus(state="keyring_locked"),
    "keyring-unavailable": ConnectionStatus(
        state="keyring_unavailable", detail="There is no Secret Service on the session bus."
    ),
    "port-conflict": ConnectionStatus(state="port_conflict", detail="[::1]:3000 belongs to node (process 4711)."),
}
"""By a name for files and test ids."""


def connection(name: str) -> dict[str, Any]:
    """Return the response of ``GET /v1/connection`` for one of ``STATUSES``."""
    sent: dict[str, Any] = msgspec.to_builtins(
        render.connection(STATUSES[name], StoreHealth(kind="Secret Service", state="ok"), owner=True)
    )
    return sent


async def show_connection(page: Page, name: str) -> None:
    """Show one of ``STATUSES`` in a dashboard that is open at its overview."""

    async def respond(route: Route) -> None:
        await route.fulfill(json=connection(name))

    url = re.compile(r"/v1/connection$")
    await page.unroute(url)
    await page.route(url, respond)
    await page.reload()
    await expect(page.get_by_role("region", name="Connection").get_by_role("heading")).to_be_visible()
