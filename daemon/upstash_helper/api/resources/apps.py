"""``/v1/apps``, ``/v1/token``, and ``/v1/audit``: apps with access, the caller's own token, and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import ACT_FIRST, BODY, RECORD_FIRST, Parameter, Policy, Route, caller_of
from upstash_helper.broker.errors import AppNotFound, InvalidPageToken, InvalidRequest
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.protocol import wire_apps as wire
from upstash_helper.protocol.wire import Recorded

if TYPE_CHECKING:
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit

PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 500

_OWNER = Policy("owner")
_AUDIT_PARAMETERS = (
    Parameter(name="app", where="query", description="Only entries of the app with this ID or name, or `owner`."),
    Parameter(name="since", where="query", description="Only entries from this time on (RFC 3339)."),
    Parameter(
        name="page_size", where="query", description="1 to 500. Larger values are reduced to 500.",
        schema={"type": "integer", "minimum": 0, "default": PAGE_SIZE},
    ),
    Parameter(
        name="page_token", where="query", description="The previous page's `next_page_token`.",
        schema={"type": "string", "pattern": "^[0-9]{0,15}$"},
    ),
)  # fmt: skip


class AppsResource:
    """Handlers for apps, the caller's token, and the audit log."""

    def __init__(self, *, apps: AppRegistry, audit: Audit) -> None:
        self._apps = apps
        self._audit = audit

    def routes(self) -> list[Route]:
        """Return the routes."""
        collection, item, token = "/v1/apps", "/v1/apps/{app_id}", "/v1/token"
        return [
            Route(
                method="GET", path=collection, handler=self.all, policy=_OWNER,
                operation_id="listApps", summary="List the apps with access", answers={200: wire.AppList},
            ),
            Route(
                method="GET", path=item, handler=self.get, policy=_OWNER,
                operation_id="getApp", summary="Get an app", answers={200: wire.App}, problems=(404,),
            ),
            Route(
                method="PATCH", path=item, handler=self.rename,
                policy=Policy("owner", body="json", audit="app.rename", order=RECORD_FIRST),
                operation_id="renameApp", summary="Rename an app for display",
                body=wire.RenameApp, answers={200: wire.App}, problems=(404,),
            ),
            Route(
                method="DELETE", path=item, handler=self.revoke,
                policy=Policy("owner", audit="app.revoke", order=ACT_FIRST),
                operation_id="revokeApp", summary="Revoke an app's access",
                answers={204: None, 200: Recorded}, problems=(404,),
            ),
            Route(
                method="GET", path=token, handler=self.token_info, policy=Policy("token", readable=True),
                operation_id="getToken",
                summary="Get what the caller's token grants. A page can also read the 401 after it was revoked",
                answers={200: wire.TokenInfo},
            ),
            Route(
                method="DELETE", path=token, handler=self.sign_out,
                policy=Policy("token", readable=True, audit="app.sign_out", order=ACT_FIRST),
                operation_id="revokeToken", summary="Revoke the calling app's access",
                answers={204: None, 200: Recorded}, problems=(404,),
            ),
            Route(
                method="POST", path=f"{token}/rotate", handler=self.rotate,
                policy=Policy("token", readable=True, audit="app.rotate", order=RECORD_FIRST),
                operation_id="rotateToken", summary="Replace the calling app's token. The old one stops working",
                answers={200: wire.NewToken}, problems=(404,),
            ),
            Route(
                method="GET", path="/v1/audit", handler=self.audit, policy=_OWNER,
                operation_id="getAudit", summary="List what each app did, when, and with what result",
                answers={200: wire.AuditPage}, problems=(422,), parameters=_AUDIT_PARAMETERS,
            ),
        ]  # fmt: skip

    async def all(self, _request: web.Request) -> web.Response:
        """Return all apps."""
        apps = await self._apps.all()

        return render.json(wire.AppList(apps=tuple(render.app(it) for it in apps)))

    async def get(self, request: web.Request) -> web.Response:
        """Return an app."""
        app = await self._apps.get(_id(request))

        return render.json(render.app(app))

    async def rename(self, request: web.Request) -> web.Response:
        """Rename an app."""
        wanted = cast("wire.RenameApp", decode(request[BODY], wire.RenameApp))

        app = await self._apps.rename(_id(request), wanted.name)

        return render.json(render.app(app))

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke an app's access."""
        await self._apps.revoke(_id(request), reason="owner")

        return web.Response(status=204)

    async def token_info(self, request: web.Request) -> web.Response:
        """Return what the caller's token grants."""
        caller = caller_of(request)
        app = None if caller.is_owner else await self._apps.get(caller.id)

        return render.json(render.token_info(caller, app))

    async def sign_out(self, request: web.Request) -> web.Response:
        """Revoke the calling app's access."""
        await self._apps.revoke(_app_id(request), reason="app")

        return web.Response(status=204)

    async def rotate(self, request: web.Request) -> web.Response:
        """Replace the caller's token."""
        app, token = await self._apps.rotate(_app_id(request))

        return render.json(render.new_token(app, token))

    async def audit(self, request: web.Request) -> web.Response:
        """Return one page of the audit log, newest entries first."""
        query = AuditQuery(
            app=request.query.get("app") or None,
            since=_since(request.query.get("since")),
            before_id=_number(request.query.get("page_token"), "page_token"),
            limit=min(_number(request.query.get("page_size"), "page_size") or PAGE_SIZE, MAX_PAGE_SIZE),
        )

        entries = await self._audit.page(query)

        more = str(entries[-1].id) if len(entries) == query.limit else None
        return render.json(wire.AuditPage(entries=tuple(render.entry(it) for it in entries), next_page_token=more))


def _id(request: web.Request) -> str:
    return request.match_info["app_id"]


def _app_id(request: web.Request) -> str:
    caller = caller_of(request)
    if caller.is_owner:
        raise AppNotFound("This is the owner's token, not an app's. It changes each time the helper starts.")
    return caller.id


def _number(text: str | None, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidPageToken(f"{name} must be a whole number.")
    return int(text)


def _since(text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRequest("since must be a time such as 2026-01-31T09:00:00Z.") from None
