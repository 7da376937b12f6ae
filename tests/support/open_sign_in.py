"""
The user at the issuer of the open sign-in: signs up or in, chooses, and allows or denies.

    redirect = await allow(url, "ada@example.com", "correct horse", team_id=None, full_access=True)

``allow`` and ``cancel`` work over HTTP like a browser without JavaScript; ``allow_in_chromium`` drives a real one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
from yarl import URL

from tests.support.sandbox import REDIRECTS, Page, SandboxFailed, read_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page as ChromiumPage

PERSONAL: Final = ""
"""The value of the choice for the personal account."""


async def allow(
    url: str,
    email: str,
    password: str,
    *,
    sign_up: bool = True,
    team_id: str | None = None,
    full_access: bool = False,
) -> str:
    """
    Sign in and press Allow, in a browser without cookies.

    Args:
        url: The authorization URL that the app opened.
        email: The email to enter.
        password: The password to enter.
        sign_up: Create an account. Otherwise sign in to an existing one.
        team_id: The team to choose; None: the personal account.
        full_access: Choose full access instead of the preselected read-only access.

    Returns:
        The URL that the browser is redirected to, which is not followed: the redirect URI with ``code``.

    Raises:
        SandboxFailed: With the page's message, if a form is shown again, or the choice does not exist.
    """
    async with Visitor.new() as visitor:
        await visitor.open(url)
        await visitor.sign_in(email, password, sign_up=sign_up)
        return await visitor.allow(team_id=team_id, full_access=full_access)


async def cancel(url: str, email: str | None = None, password: str = "", *, sign_up: bool = True) -> str:
    """
    Press Cancel and return the URL that the browser is redirected to.

    On the sign-in page if there is no email, and on the consent page otherwise.
    """
    async with Visitor.new() as visitor:
        await visitor.open(url)
        if email is not None:
            await visitor.sign_in(email, password, sign_up=sign_up)
        return await visitor.cancel()


class Visitor:
    """A browser with cookies, and the page that it shows."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._url = URL()
        self.page = Page()
        self.html = ""
        self.status = 0
        self.origin: str | None = None
        """The ``Origin`` of submitted forms; None: that of the page."""

    @classmethod
    @contextlib.asynccontextmanager
    async def new(cls) -> AsyncIterator[Self]:
        """Start a browser without cookies."""
        # Without `unsafe`, aiohttp ignores cookies from IP addresses.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            yield cls(session)

    async def open(self, url: str) -> str | None:
        """Open a page. Return where the browser is redirected to, if it leaves the issuer."""
        self._url = URL(url, encoded=True)
        async with self._session.get(self._url, allow_redirects=False) as response:
            return await self._follow(response)

    async def sign_in(self, email: str, password: str, *, sign_up: bool = True) -> None:
        """
        Sign in, or up, on the page shown.

        Raises:
            SandboxFailed: With the page's message, if it is shown again.
        """
        await self.submit(email=email, password=password, intent="sign-up" if sign_up else "sign-in")
        if self.status != 200:
            raise SandboxFailed(self.page.message)

    async def allow(self, *, team_id: str | None = None, full_access: bool = False) -> str:
        """
        Choose, press Allow, and return the URL that the browser is redirected to.

        Raises:
            SandboxFailed: If the choice does not exist, or is not accepted.
        """
        choice = {"account": team_id or PERSONAL, "access": "full" if full_access else self.page.chosen["access"]}
        for name, value in choice.items():
            if value not in self.page.choices[name]:
                raise SandboxFailed(f"{value!r} is not one of the choices for {name}: {self.page.choices[name]}")
        return self._left(await self.submit(intent="allow", **choice))

    async def cancel(self) -> str:
        """Press Cancel, and return the URL that the browser is redirected to."""
        fields = {"email": "", "password": ""} if "email" in self.page.fields else {}
        return self._left(await self.submit(intent="cancel", **fields))

    async def submit(self, **fields: str) -> str | None:
        """
        Submit the form shown. Return where the browser is redirected to, if it leaves the issuer.

        Raises:
            SandboxFailed: If there is no form.
        """
        if self.page.action is None:
            raise SandboxFailed(self.page.message)
        target = self._url.join(URL(self.page.action, encoded=True))
        form = aiohttp.FormData({**self.page.hidden, **fields})
        headers = {"Origin": self.origin or str(target.origin())}
        self._url = target
        async with self._session.post(target, data=form, headers=headers, allow_redirects=False) as response:
            return await self._follow(response)

    async def _follow(self, response: aiohttp.ClientResponse) -> str | None:
        if response.status in REDIRECTS:
            location = response.headers["Location"]
            target = self._url.join(URL(location, encoded=True))
            if target.origin() != self._url.origin():
                return location
            return await self.open(str(target))
        self.status, self.html = response.status, await response.text()
        self.page = read_page(self.html)
        return None

    def _left(self, location: str | None) -> str:
        if location is None:
            raise SandboxFailed(self.page.message)
        return location


async def allow_in_chromium(
    page: ChromiumPage,
    email: str,
    password: str,
    *,
    sign_up: bool = True,
    team: str | None = None,
    full_access: bool = False,
) -> str:
    """
    Sign in and press Allow in a real Chromium that shows the issuer's page, as a user would.

    Args:
        page: The page, already at the authorization URL, and not signed in.
        email: The email to enter.
        password: The password to enter.
        sign_up: Create an account. Otherwise sign in to an existing one.
        team: The name of the team to choose; None: the personal account.
        full_access: Choose full access instead of the preselected read-only access.

    Returns:
        The URL that the browser is redirected to.
    """
    await sign_in_in_chromium(page, email, password, sign_up=sign_up)
    if team is not None:
        await page.get_by_role("radio", name=team).check()
    if full_access:
        await page.get_by_role("radio", name="Full access").check()
    redirect_uri = parse_qs(urlsplit(page.url).query)["redirect_uri"][0]
    async with page.expect_request(lambda request: request.url.startswith(redirect_uri)) as redirected:
        await page.get_by_role("button", name="Allow").click()
    return (await redirected.value).url


async def sign_in_in_chromium(page: ChromiumPage, email: str, password: str, *, sign_up: bool = True) -> None:
    """Sign in on the issuer's page, which then asks for consent, or shows the console."""
    if sign_up:
        await page.get_by_role("link", name="Sign up").click()
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign up" if sign_up else "Sign in").click()
    await page.get_by_role("heading", name="Sign").wait_for(state="detached")
