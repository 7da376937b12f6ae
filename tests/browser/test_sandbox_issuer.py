"""The sandbox's sign-in in a real Chromium: the issuer's pages, and single-page apps with published libraries."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.single_page_apps import register, serve_auth0, serve_oidc_client
from tests.support.browser import Site, overflowing_elements, violations
from tests.support.open_sign_in import allow_in_chromium, sign_in_in_chromium
from tests.support.sandbox import Sandbox
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page, Route

    from tests.support.browser import Console

pytestmark = pytest.mark.slow

VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"


def unique_email() -> str:
    """Return an email that has no account yet."""
    return f"ada-{secrets.token_hex(6)}@example.com"


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    """The app's own origin."""
    async with Site.serving({"/callback": "<!doctype html><title>Book shop</title><h1>Connected</h1>"}) as site:
        yield site


async def open_authorization(page: Page, sandbox: Sandbox, site: Site, redirect_uri: str | None = None) -> None:
    """Register an app, by default with a redirect URI on ``site``, and open its authorization URL."""
    uri = redirect_uri or f"{site.origin}/callback"
    site.pages["/"] = "<!doctype html><title>Book shop</title>"
    await page.goto(site.origin)
    query = {
        "response_type": "code",
        "client_id": await register(page, uri, sandbox.issuer_url),
        "redirect_uri": uri,
        "scope": "openid email offline_access",
        "state": "state-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    await page.goto(f"{sandbox.issuer_url}/oauth/authorize?{urlencode(query)}")


def client_id_of(page: Page) -> str:
    """Return the client ID in the authorization URL that the page shows."""
    return parse_qs(urlsplit(page.url).query)["client_id"][0]


async def exchange(page: Page, sandbox: Sandbox, redirect: str, client_id: str) -> None:
    """Exchange the code in a redirect."""
    form: dict[str, str | float | bool] = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": parse_qs(urlsplit(redirect).query)["code"][0],
        "redirect_uri": redirect.partition("?")[0],
        "code_verifier": VERIFIER,
    }
    answer = await page.request.post(f"{sandbox.issuer_url}/oauth/token", form=form)
    assert 200 == answer.status


async def check_page(page: Page) -> None:
    """Check that the page is accessible, and fits a narrow screen."""
    await page.set_viewport_size({"width": 320, "height": 568})
    assert [] == await overflowing_elements(page)
    assert [] == await violations(page)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_pages_of_the_issuer_are_accessible(sandbox: Sandbox, page: Page, site: Site, console: Console) -> None:
    """
    The sign-in, sign-up, and consent pages and the console are accessible and fit a narrow screen, in light and dark.
    """
    console.expect("409")  # The page for an email that has an account already.
    await sandbox.account(email := unique_email(), PASSWORD)
    await sandbox.team(email, "Librarians")
    await open_authorization(page, sandbox, site)
    await check_page(page)
    await page.get_by_role("link", name="Sign up").click()
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign up").click()
    await expect(page.get_by_role("alert")).to_contain_text("Sign in instead")
    await check_page(page)
    await page.get_by_role("link", name="Sign in").click()
    client_id = client_id_of(page)
    await sign_in_in_chromium(page, email, PASSWORD, sign_up=False)
    await expect(page.get_by_role("group", name="Access").get_by_role("radio", name="Read-only")).to_be_checked()
    await check_page(page)
    async with page.expect_request(f"{site.origin}/callback?**") as redirected:
        await page.get_by_role("button", name="Allow").click()
    await exchange(page, sandbox, (await redirected.value).url, client_id)

    await page.goto(f"{sandbox.issuer_url}/console")
    await page.get_by_label("New API key").fill("laptop")
    await page.get_by_role("button", name="Create API key").click()
    await expect(page.get_by_role("button", name="Revoke laptop")).to_be_visible()
    await check_page(page)

    assert "Personal account" in await page.locator("main").inner_text()


async def test_user_signs_up_and_chooses_in_chromium(sandbox: Sandbox, page: Page, site: Site) -> None:
    """
    A new user signs up, chooses full access, presses Allow, and is redirected to the app with a code.
    """
    await open_authorization(page, sandbox, site)

    redirect = await allow_in_chromium(page, email := unique_email(), PASSWORD, full_access=True)

    await expect(page.get_by_role("heading", level=1)).to_have_text("Connected")
    found = parse_qs(urlsplit(redirect).query)
    assert (["state-1"], [sandbox.issuer_url]) == (found["state"], found["iss"])
    assert found["code"]
    assert [] == await sandbox.grants(email)


async def test_chromium_follows_the_redirect_to_an_ipv6_address(sandbox: Sandbox, page: Page, site: Site) -> None:
    """
    The browser also follows the redirect to an app on the IPv6 loopback address, which a Content-Security-Policy cannot
    name.
    """

    async def connected(route: Route) -> None:
        await route.fulfill(body="<title>Book shop</title><h1>Connected</h1>", content_type="text/html")

    await page.route(lambda url: url.startswith("http://[::1]:4567/"), connected)
    await open_authorization(page, sandbox, site, "http://[::1]:4567/callback")

    redirect = await allow_in_chromium(page, unique_email(), PASSWORD)

    await expect(page.get_by_role("heading", level=1)).to_have_text("Connected")
    assert redirect.startswith("http://[::1]:4567/callback?")


async def test_user_chooses_a_team_in_chromium(sandbox: Sandbox, page: Page, site: Site) -> None:
    """
    A user chooses one of their teams, and the grant of the exchanged code is for that team and read-only.
    """
    await sandbox.account(email := unique_email(), PASSWORD)
    team_id = await sandbox.team(email, "Librarians")
    await open_authorization(page, sandbox, site)
    client_id = client_id_of(page)

    redirect = await allow_in_chromium(page, email, PASSWORD, sign_up=False, team="Librarians")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Connected")
    await exchange(page, sandbox, redirect, client_id)

    (grant,) = await sandbox.grants(email)
    assert (team_id, True) == (grant["team_id"], grant["read_only"])


async def test_user_revokes_a_grant_in_the_console(sandbox: Sandbox, page: Page, site: Site, console: Console) -> None:
    """
    A user revokes an app in the console: it is no longer listed, and the app's refresh fails.
    """
    console.expect("400.*/oauth/token")
    async with SinglePageApp(sandbox, page, site) as app:
        email = unique_email()
        await app.sign_in(email)
        await page.goto(f"{sandbox.issuer_url}/console")
        await page.get_by_role("button", name="Revoke Book shop").click()
        await expect(page.get_by_text("No app is connected.")).to_be_visible()
        await page.goto(site.origin)
        error = await app.run("manager.signinSilent().then(() => null, (error) => error.error)")

    assert "invalid_grant" == error
    assert [] == await sandbox.grants(email)


class SinglePageApp:
    """A page on another origin that signs in at the issuer with `oidc-client-ts`."""

    def __init__(self, sandbox: Sandbox, page: Page, site: Site) -> None:
        self._sandbox = sandbox
        self._page = page
        self._site = site
        self._settings: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        await serve_oidc_client(self._site)
        await self._page.goto(self._site.origin)
        self._settings = {
            "authority": self._sandbox.issuer_url,
            "client_id": await register(self._page, f"{self._site.origin}/callback", self._sandbox.issuer_url),
            "redirect_uri": f"{self._site.origin}/callback",
            "scope": "openid email offline_access",
            "loadUserInfo": True,
            "automaticSilentRenew": False,
            "revokeTokenTypes": ["refresh_token"],
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def run(self, script: str) -> Any:
        """Evaluate an expression with the library's ``manager``, and return its value."""
        return await self._page.evaluate(
            f"async (settings) => {{ const manager = new oidc.UserManager(settings); return await ({script}); }}",
            self._settings,
        )

    async def sign_in(self, email: str) -> None:
        """Sign a new user in, up to the page at the redirect URI, with the library."""
        async with self._page.expect_navigation(url=f"{self._sandbox.issuer_url}/**"):
            await self.run("void manager.signinRedirect(), null")
        await allow_in_chromium(self._page, email, PASSWORD, full_access=True)
        await self._page.wait_for_url(f"{self._site.origin}/callback?**")
        await self.run("manager.signinCallback().then(() => null)")


async def test_oidc_client_ts_signs_in_from_another_origin(
    sandbox: Sandbox, page: Page, site: Site, console: Console
) -> None:
    """
    A page on another origin registers itself, signs a user in, refreshes, and revokes, with `oidc-client-ts`.
    """
    async with SinglePageApp(sandbox, page, site) as app:
        await app.sign_in(email := unique_email())
        first = await app.run("manager.getUser().then((user) => ({ ...user }))")
        second = await app.run("manager.signinSilent().then((user) => ({ ...user }))")
        grants = await sandbox.grants(email)
        await app.run("manager.revokeTokens()")

    assert (email, email) == (first["profile"]["email"], second["profile"]["email"])
    assert sandbox.issuer_url == first["profile"]["iss"]
    assert first["refresh_token"] != second["refresh_token"]
    assert first["id_token"] != second["id_token"]
    assert [("Book shop", False)] == [(grant["client_name"], grant["read_only"]) for grant in grants]
    assert [] == await sandbox.grants(email)


async def test_auth0_library_signs_in_at_the_partner_server_and_creates_a_key(
    sandbox: Sandbox, page: Page, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    The guideline's web app: it signs a user in with Auth0's own library, and creates the API key from the page.
    """
    await serve_auth0(site)
    uri = f"{site.origin}/callback"
    async with Sandbox.running(tmp_path_factory.mktemp("partner"), redirect_uris=(uri,)) as partner:
        options = {
            "domain": partner.auth_url,
            "clientId": partner.client_id,
            "useRefreshTokens": True,
            "cacheLocation": "localstorage",
            "authorizationParams": {"redirect_uri": uri, "audience": "upstash-api", "scope": "openid email"},
        }

        async def run(script: str) -> Any:
            return await page.evaluate(
                f"async (options) => {{ const client = new auth0.Auth0Client(options); return await ({script}); }}",
                options,
            )

        await page.goto(site.origin)
        async with page.expect_navigation(url=f"{partner.auth_url}/**"):
            await run("void client.loginWithRedirect(), null")
        await page.get_by_role("link", name="Sign up").click()
        await page.get_by_label("Email").fill(email := unique_email())
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign up").click()
        await page.wait_for_url(f"{site.origin}/callback?**")
        await run("client.handleRedirectCallback().then(() => null)")
        user = await run("client.getUser()")
        first = await run("client.getTokenSilently()")
        second = await run("client.getTokenSilently({ cacheMode: 'off' })")
        created = await page.evaluate(
            """async ({ url, token }) => (await fetch(url, {
                method: "POST",
                headers: { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" },
                body: JSON.stringify({ name: "APPNAME_API_KEY_1" }),
            })).json()""",
            {"url": f"{partner.api_url}/apikey", "token": second},
        )
        names = await partner.api_key_names(email)

    assert email == user["email"]
    assert first != second
    assert created["api_key"]
    assert ["APPNAME_API_KEY_1"] == names
