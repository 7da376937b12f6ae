"""``/v1/apps``, ``/v1/token`` and ``/v1/audit``: who is let in, what a caller's own token is, and who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import BODY, Parameter, Route, caller_of
from upstash_helper.broker.errors import AppNotFound, InvalidPageToken, InvalidRequest
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.protocol import wire_apps as wire

if TYPE_CHECKING:
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit

PAGE: Final = 100
LARGEST_PAGE: Final = 500

_OWNER = Policy("owner")
_AUDIT_PARAMETERS = (
    Parameter(name="app", where="query", description="Only of the app with this id or name; `owner` for your own."),
    Parameter(name="since", where="query", description="Only from this moment on (RFC 3339)."),
    Parameter(
        name="page_size", where="query", description="1 to 500; a larger number is taken as 500.",
        schema={"type": "integer", "minimum": 0, "default": PAGE},
    ),
    Parameter(
        name="page_token", where="query", description="`next_page_token` of the page before.",
        schema={"type": "string", "pattern": "^[0-9]{0,15}$"},
    ),
)  # fmt: skip


class AppsResource:
    """The handlers."""

    def __init__(self, *, apps: AppRegistry, audit: Audit) -> None:
        self._apps = apps
        self._audit = audit

    def routes(self) -> list[Route]:
        """Return what is served here."""
        at, one, token = "/v1/apps", "/v1/apps/{app_id}", "/v1/token"
        return [
            Route(
                method="GET", path=at, handler=self.all, policy=_OWNER,
                operation_id="listApps", summary="The apps that are let in", answers={200: wire.AppList},
            ),
            Route(
                method="GET", path=one, handler=self.get, policy=_OWNER,
                operation_id="getApp", summary="One app", answers={200: wire.App}, problems=(404,),
            ),
            Route(
                method="PATCH", path=one, handler=self.rename, policy=Policy("owner", body="json", audit="app.rename"),
                operation_id="renameApp", summary="Give an app the name that you want to see",
                body=wire.RenameApp, answers={200: wire.App}, problems=(404,),
            ),
            Route(
                method="DELETE", path=one, handler=self.revoke, policy=Policy("owner", audit="app.revoke"),
                operation_id="revokeApp", summary="Let an app in no longer", answers={204: None}, problems=(404,),
            ),
            Route(
                method="GET", path=token, handler=self.what_am_i, policy=Policy("token", readable=True),
                operation_id="getToken",
                summary="What the caller's token is. A page can read the 401 of a revoked one",
                answers={200: wire.TokenInfo},
            ),
            Route(
                method="DELETE", path=token, handler=self.sign_out,
                policy=Policy("token", readable=True, audit="app.sign_out"),
                operation_id="revokeToken", summary="Sign the calling app out", answers={204: None}, problems=(404,),
            ),
            Route(
                method="POST", path=f"{token}/rotate", handler=self.rotate,
                policy=Policy("token", readable=True, audit="app.rotate"),
                operation_id="rotateToken", summary="A new token for the calling app; the old one stops working",
                answers={200: wire.NewToken}, problems=(404,),
            ),
            Route(
                method="GET", path="/v1/audit", handler=self.audit, policy=_OWNER,
                operation_id="getAudit", summary="Which app did what, when, with which result",
                answers={200: wire.AuditPage}, problems=(422,), parameters=_AUDIT_PARAMETERS,
            ),
        ]  # fmt: skip

    async def all(self, _request: web.Request) -> web.Response:
        """Answer with all apps."""
        apps = await self._apps.all()

        return render.json(wire.AppList(apps=tuple(render.app(it) for it in apps)))

    async def get(self, request: web.Request) -> web.Response:
        """Answer with one app."""
        app = await self._apps.get(_id(request))

        return render.json(render.app(app))

    async def rename(self, request: web.Request) -> web.Response:
        """Rename one app."""
        wanted = cast("wire.RenameApp", decode(request[BODY], wire.RenameApp))

        app = await self._apps.rename(_id(request), wanted.name)

        return render.json(render.app(app))

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke one app."""
        await self._apps.revoke(_id(request), reason="owner")

        return web.Response(status=204)

    async def what_am_i(self, request: web.Request) -> web.Response:
        """Answer with what the token is."""
        caller = caller_of(request)
        app = None if caller.is_owner else await self._apps.get(caller.id)

        return render.json(render.token_info(caller, app))

    async def sign_out(self, request: web.Request) -> web.Response:
        """Revoke the caller itself."""
        await self._apps.revoke(_app_id(request), reason="app")

        return web.Response(status=204)

    async def rotate(self, request: web.Request) -> web.Response:
        """Give the caller a new token."""
        app, token = await self._apps.rotate(_app_id(request))

        return render.json(render.new_token(app, token))

    async def audit(self, request: web.Request) -> web.Response:
        """Answer with one page of the audit."""
        query = AuditQuery(
            app=request.query.get("app") or None,
            since=_since(request.query.get("since")),
            before_id=_number(request.query.get("page_token"), "page_token"),
            limit=min(_number(request.query.get("page_size"), "page_size") or PAGE, LARGEST_PAGE),
        )

        entries = await self._audit.page(query)

        more = str(entries[-1].id) if len(entries) == query.limit else None
        return render.json(wire.AuditPage(entries=tuple(render.entry(it) for it in entries), next_page_token=more))


def _id(request: web.Request) -> str:
    return request.match_info["app_id"]


def _app_id(request: web.Request) -> str:
    caller = caller_of(request)
    if caller.is_owner:
        raise AppNotFound("This is the owner's token, and no app's: it changes by itself whenever the helper starts.")
    return caller.id


def _number(text: str | None, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidPageToken(f"{name} takes a whole number.")
    return int(text)


def _since(text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRequest("since takes a moment such as 2026-01-31T09:00:00Z.") from None
