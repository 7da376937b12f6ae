"""The console's page with the log of requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from upstash_helper.sandbox.console.elements import Form, choice, field
from upstash_helper.sandbox.console.markup import Html, tag
from upstash_helper.sandbox.console.page import Action, Fields, Page
from upstash_helper.sandbox.request_log import LoggedRequest, RequestFilter

if TYPE_CHECKING:
    from aiohttp import web

MAX_SHOWN = 200
REFRESH_SECONDS = 3
LISTENERS = (("", "All"), ("api", "api"), ("issuer", "issuer"), ("rest", "rest"))


class RequestsPage(Page):
    """The requests that the sandbox has received, except for those of the console and the admin API."""

    PATH = "requests"
    NAVIGATION = "requests"

    def title(self, _request: web.Request) -> str:
        """Return the heading."""
        return "Requests"

    def content(self, request: web.Request, form: Form) -> list[Html]:
        """Return the filter, and the matching requests."""
        query = {name: request.query.get(name, "") for name in ("listener", "method", "path", "status")}
        which, problem = _filter(query)
        found = self._admin.requests.list(which) if which else []
        shown = found[: -MAX_SHOWN - 1 : -1]
        kept = {name: value for name, value in query.items() if value}
        is_live = "live" in request.query
        target = urlencode(kept if is_live else {**kept, "live": "1"})
        return [
            tag(
                "form",
                tag(
                    "div",
                    tag("div", choice("Listener", "listener", LISTENERS, value=query["listener"])),
                    tag("div", field("Method", "method", value=query["method"], maxlength=20)),
                    tag(
                        "div",
                        field("Path", "path", value=query["path"], maxlength=500, hint="* matches anything."),
                    ),
                    tag("div", field("Status", "status", value=query["status"], inputmode="numeric", maxlength=3)),
                    class_="fields",
                ),
                tag("input", type="hidden", name="live", value="1") if is_live else None,
                tag("div", tag("button", "Filter", class_="primary"), class_="actions"),
                method="get",
                action=self.link("requests"),
            ),
            tag("p", problem, class_="notice", role="alert") if problem else Html(),
            tag(
                "p",
                tag("a", "Refresh now", href=request.rel_url.raw_path_qs),
                tag(
                    "a",
                    "Stop refreshing" if is_live else f"Refresh every {REFRESH_SECONDS} seconds",
                    href=f"{self.link('requests')}?{target}",
                ),
                class_="links",
            ),
            tag("p", f"{len(shown)} of {len(found)} matching requests, newest first.", class_="hint"),
            tag("ul", map(_entry, shown), class_="log"),
            tag("div", form.button("Clear the log", "clear"), class_="row"),
        ]

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """Reload the page regularly if the user has turned that on."""
        return {"Refresh": str(REFRESH_SECONDS)} if "live" in request.query else {}

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {"clear": self._clear}

    async def _clear(self, _request: web.Request, _fields: Fields) -> None:
        self._admin.requests.clear()


def _filter(query: Mapping[str, str]) -> tuple[RequestFilter | None, str]:
    """Return the filter of a query, or what is wrong with it."""
    given = {name: value.strip() for name, value in query.items() if value.strip()}
    try:
        return msgspec.convert(given, RequestFilter, strict=False), ""
    except msgspec.ValidationError:
        return None, "Status must be a number from 100 to 599, and the listener must be api, issuer, or rest."


def _entry(logged: LoggedRequest) -> Html:
    failed = logged.status is None or logged.status >= 400
    return tag(
        "li",
        tag("code", f"{logged.method} {logged.path}"),
        tag(
            "p",
            tag("span", str(logged.status or "no response"), class_="failed" if failed else None),
            f" · {logged.listener} · {time.strftime('%H:%M:%S UTC', time.gmtime(logged.time))}"
            f"{' · fault' if logged.fault else ''}",
            class_="hint",
        ),
    )
