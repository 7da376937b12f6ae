"""Every result page of a sign-in, as the daemon renders it, for screenshots and accessibility checks."""

from __future__ import annotations

import contextlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from tests.support.browser import Site
from upstash_helper.api.pages import outcome
from upstash_helper.api.pages.static import CSP
from upstash_helper.broker.account import attempts
from upstash_helper.broker.account.attempts import (
    Attempt,
    ConfirmationRequired,
    Exchanging,
    Expired,
    Failed,
    Pending,
    Succeeded,
)
from upstash_helper.broker.account.connection import ConnectionStatus
from upstash_helper.broker.identity import OWNER, Caller, Identity
from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import FailureReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstash_helper.api.pages.page import Page

REASONS: tuple[FailureReason, ...] = get_args(FailureReason)

APP = Caller(
    kind="app",
    id="app-1",
    name="Query Studio",
    identity=Identity(kind="web", name="https://studio.example.com"),
    scopes=("connection:read", "connection:write"),
)
PROGRAM = Caller(
    kind="app",
    id="app-2",
    name="deploy",
    identity=Identity(kind="native", name="/home/ada/projects/shop/node_modules/.bin/deploy-the-shop-to-production"),
)
CONNECTED = ConnectionStatus(state="connected", email="ada@example.com", method="oauth", since=0.0)
DISCONNECTED = ConnectionStatus(state="disconnected")
DETAIL = "Upstash answered with status 503 and said “Service Unavailable”. Connect again in a minute."


def failed(reason: FailureReason) -> Failed:
    """Return an attempt that failed with ``reason``."""
    return Failed(id="a", expires_at=0.0, reason=reason, detail=DETAIL)


def page_of(attempt: Attempt, status: ConnectionStatus = DISCONNECTED, *requesters: Caller) -> Page:
    """Return the result page of ``attempt``."""
    return outcome.outcome(attempt, status, requesters, page=attempt.id)


def pages() -> dict[str, Page]:
    """Return all result pages by name."""
    exchanging = Exchanging(id="exchanging", expires_at=0.0)
    succeeded = Succeeded(id="a", expires_at=0.0, email="ada@example.com")
    undecided = ConfirmationRequired(
        id="confirmation_required", expires_at=0.0, asked=0.0, starter=APP, email="eve@example.com",
        replaces="ada@example.com",
    )  # fmt: skip
    pending = Pending(
        id="pending", authorization_url="", expires_at=0.0, began=0.0, tls_before=0, state=Secret("s"),
        code_verifier=Secret("v"),
    )  # fmt: skip
    hinted = Pending(
        id="pending", authorization_url="", expires_at=0.0, began=0.0, tls_before=0, state=Secret("s"),
        code_verifier=Secret("v"), hint=attempts.no_callback(0),
    )  # fmt: skip
    return {
        "connected": page_of(succeeded, CONNECTED, APP),
        "connected-by-owner": page_of(succeeded, CONNECTED, OWNER),
        "connected-by-programs": page_of(succeeded, CONNECTED, PROGRAM, APP, OWNER),
        "connected-in-a-sandbox": msgspec.structs.replace(page_of(succeeded, CONNECTED, APP), is_sandbox=True),
        "connecting": page_of(exchanging, DISCONNECTED, APP),
        "undecided": page_of(undecided, CONNECTED, APP),
        "waiting": page_of(pending, DISCONNECTED, APP),
        "waiting-long": page_of(hinted, DISCONNECTED, APP),
        "needs-email": page_of(Succeeded(id="a", expires_at=0.0, email=None), CONNECTED, APP),
        "expired": page_of(Expired(id="a", expires_at=0.0), DISCONNECTED, APP),
        "no-attempt": outcome.no_attempt(),
        **{f"failed-{reason}": page_of(failed(reason), CONNECTED, APP) for reason in REASONS},
    }


@contextlib.asynccontextmanager
async def serve_pages() -> AsyncIterator[Site]:
    """Serve each page at its name, with the daemon's static files and Content-Security-Policy."""
    served = {f"/{name}": str(page.response().text) for name, page in pages().items()}
    for state in ("pending", "exchanging", "confirmation_required"):
        # These pages poll the state of their attempt.
        served[f"/attempts/{state}/state"] = state
    folder = Path(str(files("upstash_helper")))
    async with Site.serving(served, folder=folder, headers={"Content-Security-Policy": CSP}) as site:
        yield site
