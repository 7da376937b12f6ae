"""The console's routes: signing in, the pages, and their forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from upstash_helper.sandbox.console import layout
from upstash_helper.sandbox.console.access import ConsoleAccess
from upstash_helper.sandbox.console.elements import Form
from upstash_helper.sandbox.console.markup import Html, tag
from upstash_helper.sandbox.console.page import Page
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth.forms import FormGuard, page_response, read_form, redirect

EXPIRED = "The form has expired. Please try again."
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SandboxConsole:
    """Serves the pages below ``path``, and redirects the browser there from ``/``."""

    def __init__(
        self, *, origin: str, path: str, access: ConsoleAccess, pages: Sequence[Page], form_target: str
    ) -> None:
        """
        Args:
            origin: Scheme, host, and port of the console, as the browser sees them.
            path: The path that all pages are below.
            access: Who may use it.
            pages: The pages.
            form_target: Another origin that forms may redirect to.
        """
        self._origin = origin
        self._path = path
        self._access = access
        self._pages = pages
        self._form_target = form_target
        self._guard = FormGuard(origin=origin, path=path)

    def new_link(self) -> str:
        """Return a link that signs one browser in and works once."""
        return f"{self._origin}{self._path}/enter?ticket={self._access.new_ticket()}"

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        routes = [
            web.get("/", self.leave_root, allow_head=False),
            web.get(f"{self._path}/style.css", self.stylesheet, allow_head=False),
            web.get(f"{self._path}/enter", self._on_own_host(self.enter), allow_head=False),
            web.post(f"{self._path}/sign-in", self._on_own_host(self.sign_in)),
            web.post(f"{self._path}/sign-out", self._on_own_host(self.sign_out)),
        ]
        for page in self._pages:
            url = f"{self._path}/{page.PATH}".rstrip("/")
            show, submit = self._handlers(page)
            routes += [
                web.get(url, self._on_own_host(show), allow_head=False),
                web.post(url, self._on_own_host(submit)),
            ]
        return routes

    # --- signing in ---

    async def leave_root(self, _request: web.Request) -> web.StreamResponse:
        """Redirect to the console."""
        return redirect(self._origin + self._path)

    async def stylesheet(self, _request: web.Request) -> web.StreamResponse:
        """Serve the style sheet."""
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=layout.stylesheet(), content_type="text/css", headers=headers)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Exchange the ticket of a link for a session. The redirect removes the ticket from the address bar."""
        if not self._access.redeem(request.query.get("ticket", "")):
            message = "This link has expired or has already been used."
            return self._sign_in_form(request, message, status=403)
        response = redirect(self._path)
        self._access.start(response)
        return response

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Start a session for a browser that knows the admin token."""
        fields = await read_form(request)
        if not self._is_own_form(request, fields):
            return self._sign_in_form(request, EXPIRED, status=403)
        if not self._access.is_admin_token(fields.get("token", "")):
            return self._sign_in_form(request, "This is not the admin token of this sandbox.", status=403)
        response = redirect(self._path)
        self._access.start(response)
        return response

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End the session."""
        response = redirect(self._path)
        if self._is_own_form(request, await read_form(request)):
            self._access.end(request, response)
        return response

    # --- pages ---

    def _handlers(self, page: Page) -> tuple[Handler, Handler]:
        """Return the handlers that show a page and process its forms."""

        async def show(request: web.Request) -> web.StreamResponse:
            if not self._access.is_signed_in(request):
                return self._sign_in_form(request)
            return self._page(request, page)

        async def submit(request: web.Request) -> web.StreamResponse:
            fields = await read_form(request)
            if not self._access.is_signed_in(request):
                return self._sign_in_form(request, "Your session has ended.", status=403)
            if not self._is_own_form(request, fields):
                return self._page(request, page, error=EXPIRED, status=403)
            action = page.actions.get(fields.get("intent", ""))
            if action is None:
                return self._page(request, page, error="This form does not exist.", status=400)
            try:
                result = await action(request, fields)
            except RequestError as error:
                return self._page(request, page, error=error.message, status=error.status)
            if result is None:
                return redirect(request.rel_url.raw_path_qs)
            return self._page(request, page, news=result) if isinstance(result, Html) else result

        return show, submit

    def _page(
        self, request: web.Request, page: Page, *, error: str = "", news: Html | None = None, status: int = 200
    ) -> web.Response:
        csrf, cookie = self._guard.token(request)
        frame = layout.Frame(path=self._path, csrf=csrf, current=page.NAVIGATION, error=error)
        try:
            title = page.title(request)
            content = page.content(request, Form(request.rel_url.raw_path_qs, csrf))
        except RequestError as missing:
            title, content, status = "Not found", [tag("p", missing.message, class_="lead")], missing.status
        shown = [tag("div", news, class_="news", role="status")] if news else []
        response = page_response(frame.page(title, *shown, *content), status=status, form_target=self._form_target)
        response.headers.update(page.headers(request))
        self._guard.set_cookie(response, cookie)
        return response

    def _sign_in_form(self, request: web.Request, error: str = "", *, status: int = 200) -> web.Response:
        csrf, cookie = self._guard.token(request)
        response = page_response(layout.sign_in_page(self._path, csrf, error=error), status=status)
        self._guard.set_cookie(response, cookie)
        return response

    def _is_own_form(self, request: web.Request, fields: dict[str, str]) -> bool:
        return self._access.is_same_origin(request) and self._guard.is_valid(request, fields.get("csrf", ""))

    def _on_own_host(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if not self._access.is_own_host(request):
                text = layout.error_page(
                    self._path, "Wrong address", f"This console is only available at {self._origin}."
                )
                return page_response(text, status=403)
            return await handler(request)

        return checked
