"""``/v1/confirmations``: questions to the user before something is destroyed or written for an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.api.server import render
from upstash_helper.api.server.routes import ACT_FIRST, RECORD_FIRST, TARGET, Policy, Route
from upstash_helper.broker.identity import Identity
from upstash_helper.protocol import wire_apps as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from upstash_helper.broker.confirmations import Confirmation, Confirmations


class ConfirmationsResource:
    """Handlers for the owner's side of confirmations."""

    def __init__(self, *, confirmations: Callable[[], Confirmations]) -> None:
        """
        Args:
            confirmations: Returns the confirmations. Called at the first request.
        """
        self._confirmations = confirmations

    def routes(self) -> list[Route]:
        """Return the routes."""
        collection, item = "/v1/confirmations", "/v1/confirmations/{confirmation_id}"
        return [
            Route(
                method="GET", path=collection, handler=self.waiting, policy=Policy("owner"),
                operation_id="listConfirmations",
                summary="List questions from apps that are about to destroy or write something",
                answers={200: wire.ConfirmationList},
            ),
            Route(
                method="POST", path=f"{item}/allow", handler=self.allow,
                policy=Policy("owner", audit="confirmation.allow", order=RECORD_FIRST),
                operation_id="allowConfirmation",
                summary="Allow what the app is about to do: once, unless the question says otherwise",
                answers={200: wire.Confirmation}, problems=(404, 409, 410),
            ),
            Route(
                method="POST", path=f"{item}/deny", handler=self.deny,
                policy=Policy("owner", audit="confirmation.deny", order=ACT_FIRST),
                operation_id="denyConfirmation", summary="Deny what the app is about to do",
                answers={200: wire.Confirmation}, problems=(404, 409, 410),
            ),
        ]  # fmt: skip

    async def waiting(self, _request: web.Request) -> web.Response:
        """Return the questions that wait for the user."""
        found = self._confirmations().waiting

        return render.json(wire.ConfirmationList(confirmations=tuple(rendered(it) for it in found)))

    async def allow(self, request: web.Request) -> web.Response:
        """Answer a question with yes."""
        confirmation = self._confirmations().allow(_id(request))

        request[TARGET] = _audit_target(confirmation)
        return render.json(rendered(confirmation))

    async def deny(self, request: web.Request) -> web.Response:
        """Answer a question with no."""
        confirmation = self._confirmations().deny(_id(request))

        request[TARGET] = _audit_target(confirmation)
        return render.json(rendered(confirmation))


def rendered(it: Confirmation) -> wire.Confirmation:
    """Return a confirmation as shown to the user."""
    return wire.Confirmation(
        id=it.id,
        app_id=it.caller.id,
        identity=render.identity(it.caller.identity or Identity(kind="native", name="")),
        claimed_name=it.caller.name,
        action=it.question.action,
        title=it.question.title,
        detail=it.question.detail,
        target=it.question.target,
        lasting=it.question.lasting,
        state=it.state,
        created_at=render.timestamp(it.created_at),
        expires_at=render.timestamp(it.expires_at),
    )


def _audit_target(it: Confirmation) -> str:
    """Return what was decided, for the audit log: the action, its target, and the app."""
    return f"{it.question.action} {it.question.target} for {it.caller.shown}"


def _id(request: web.Request) -> str:
    return request.match_info["confirmation_id"]
