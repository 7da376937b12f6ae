"""
Signing in on the sandbox without a browser.

The demo and `sandbox up` sign their user up this way. It submits the pages' forms and follows their redirects, so the
OAuth flow is the real one.
"""

from __future__ import annotations

from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, ProxyHandler, Request, build_opener

_SECONDS: Final = 30.0
# The headers of a browser when the user follows a link.
_NAVIGATION: Final = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}


class UnexpectedPage(Exception):
    """A page is not the one that the flow should show."""


class Page:
    """A page: its heading, its form, and the page that it continues to."""

    def __init__(self, url: str, html: str) -> None:
        self.url = url
        reader = _Reader()
        reader.feed(html)
        self.action = reader.action
        self.hidden = reader.hidden
        self.chosen = reader.chosen
        self.title = " ".join(reader.heading.split())
        self.refresh = reader.refresh


class BrowserSession:
    """A browser session: it keeps cookies, and returns redirects instead of following them."""

    def __init__(self) -> None:
        # The default policy rejects cookies from local names such as localhost.
        jar = CookieJar(DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainLiberal))
        # No proxy: every address is on this machine.
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar), _NoRedirects)

    def visit(
        self, url: str, form: dict[str, str] | None = None, *, came_from: str = "none"
    ) -> tuple[str, Page | None]:
        """
        Load ``url``, or post ``form`` to it.

        Returns:
            The target of the redirect or refresh and None, or ``url`` and the page.

        Raises:
            UnexpectedPage: If the server answers with an error.
        """
        data = None if form is None else urlencode(form).encode()
        headers = {**_NAVIGATION, "Sec-Fetch-Site": came_from}
        parts = urlsplit(url)
        if data is not None:
            headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        request = Request(_resolved(parts), data=data, headers={**headers, "Host": parts.netloc})  # noqa: S310
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                page = Page(url, response.read().decode())
                return (page.refresh, None) if page.refresh else (url, page)
        except HTTPError as answer:
            with answer:
                location = answer.headers.get("Location")
                if location and answer.code in (301, 302, 303, 307, 308):
                    return urljoin(url, location), None
                page = Page(url, answer.read().decode(errors="replace"))
            message = f"{urlsplit(url).netloc} responded with {answer.code}: {page.title or 'no reason given'}"
            raise UnexpectedPage(message) from None

    def sign_up(self, authorization_url: str, *, email: str, password: str) -> str:
        """
        Create an account on the page at ``authorization_url``, and return the redirect's target.

        Raises:
            UnexpectedPage: If it is not a sign-in page, or rejects the form.
        """
        return self._submit_form(authorization_url, {"email": email, "password": password, "intent": "sign-up"})

    def sign_in(self, authorization_url: str, *, email: str, password: str) -> str:
        """Like ``sign_up``, with an account that exists."""
        return self._submit_form(authorization_url, {"email": email, "password": password, "intent": "sign-in"})

    def _submit_form(self, authorization_url: str, fields: dict[str, str]) -> str:
        url, page = self.visit(authorization_url)
        if page is None or page.action is None:
            message = "the page has no sign-in form"
            raise UnexpectedPage(message)
        target, again = self.visit(urljoin(url, page.action), {**page.hidden, **fields}, came_from="same-origin")
        if again is not None:
            message = f"the form was rejected: {again.title}"
            raise UnexpectedPage(message)
        return target

    def allow(self, url: str) -> str:
        """
        Allow full access on the consent page that ``url`` leads to, and return the redirect's target.

        Raises:
            UnexpectedPage: If it is not a consent page, or rejects the form.
        """
        url, page = self.visit(url, came_from="same-origin")
        if page is None or page.action is None:
            message = "the page has no form for the consent"
            raise UnexpectedPage(message)
        form = {**page.hidden, **page.chosen, "access": "full", "intent": "allow"}
        target, again = self.visit(urljoin(url, page.action), form, came_from="same-origin")
        if again is not None:
            message = f"the consent was rejected: {again.title}"
            raise UnexpectedPage(message)
        return target

    def follow(self, url: str) -> Page:
        """
        Follow redirects from another site until there is a page.

        Raises:
            UnexpectedPage: If there are too many redirects.
        """
        for _ in range(5):
            url, page = self.visit(url, came_from="cross-site")
            if page is not None:
                return page
        message = "too many redirects"
        raise UnexpectedPage(message)


def _resolved(parts: SplitResult) -> str:
    """Return a URL with names below ``localhost`` as an address: browsers resolve them, but not every system does."""
    if not (parts.hostname or "").endswith(".localhost"):
        return parts.geturl()
    return parts._replace(netloc=f"127.0.0.1:{parts.port or 80}").geturl()


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nothing: `visit` returns each redirect."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.hidden: dict[str, str] = {}
        self.chosen: dict[str, str] = {}
        """The preselected choices."""
        self.heading = ""
        self.refresh = ""
        self._in_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "meta" and values.get("http-equiv") == "refresh":
            # With a delay, a page reloads itself to show progress.
            delay, _, target = values.get("content", "").partition(";url=")
            self.refresh = target if delay == "0" else ""
        elif tag == "input" and values.get("type") == "hidden":
            self.hidden[values["name"]] = values.get("value", "")
        elif tag == "input" and "checked" in values:
            self.chosen[values["name"]] = values.get("value", "")
        self._in_heading = self._in_heading or tag == "h1"

    def handle_endtag(self, tag: str) -> None:
        if tag == "h1":
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self.heading += data
