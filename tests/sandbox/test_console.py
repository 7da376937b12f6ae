"""The sandbox's own console: who can use it, what it does, and what hostile pages and names cannot do."""

from __future__ import annotations

import html
import io
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import pytest
from yarl import URL

from tests.sandbox.callers import PASSWORD, Caller, OpenClient, Response, bearer, send, unique_email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sandbox import Sandbox

PAGES = ("", "/accounts", "/teams", "/databases", "/requests", "/faults")
FORM = "application/x-www-form-urlencoded"
HOSTS = ("evil.example", "evil.example:{port}", "localhost:{port}", "127.0.0.1", "[::1]:{port}")
MARKUP = "\"'><img src=x onerror=alert(1)></title><script>alert(2)</script>"


@dataclass
class ConsoleUser:
    """A browser that has opened the console."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    csrf: str = ""

    @property
    def url(self) -> str:
        """The console's URL."""
        return f"{self.sandbox.api_url}/_sandbox/console"

    async def enter(self) -> Self:
        """Open the console with a new link."""
        link = (await admin(self.sandbox, self.session, "POST", "console-links")).json["url"]
        response = await send(self.session, "GET", link)
        assert (303, "/_sandbox/console") == (response.status, response.headers["Location"])
        await self.get("")
        return self

    async def get(self, path: str, **options: Any) -> Response:
        """Load a page, and keep its CSRF token."""
        response = await send(self.session, "GET", self.url + path, **options)
        found = re.search(rb'name="csrf" value="(\w+)"', response.body)
        self.csrf = found[1].decode() if found else ""
        return response

    async def text(self, path: str) -> str:
        """Return a page."""
        response = await self.get(path)
        assert response.status == 200, response.body
        return response.body.decode()

    async def post(
        self, path: str, intent: str, fields: dict[str, str] | None = None, /, headers: Any = None, **more: str
    ) -> Response:
        """Send a form."""
        data = {"csrf": self.csrf, "intent": intent, **(fields or {}), **more}
        headers = {"Origin": self.sandbox.api_url, "Content-Type": FORM, **(headers or {})}
        body = io.BytesIO(urlencode(data, errors="surrogateescape").encode())
        return await send(self.session, "POST", self.url + path, data=body, headers=headers)


async def admin(sandbox: Sandbox, session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Response:
    """Call the admin API."""
    options = {} if body is None else {"json": body}
    url = f"{sandbox.ready.admin_url}/{path}"
    return await send(session, method, url, headers=bearer(sandbox.ready.admin_token), **options)


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that keeps cookies, also of IP addresses."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


@pytest.fixture
async def user(sandbox: Sandbox, browser: aiohttp.ClientSession) -> ConsoleUser:
    """A browser with a session."""
    return await ConsoleUser(sandbox, browser).enter()


async def account_path(user: ConsoleUser, email: str) -> str:
    """Return the path of an account's page."""
    accounts = (await admin(user.sandbox, user.session, "GET", "accounts")).json
    (account_id,) = [account["id"] for account in accounts if account["email"] == email]
    return f"/accounts/{quote(account_id, safe='')}"


# --- signing in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/accounts/x"])
async def test_pages_need_a_session(sandbox: Sandbox, session: aiohttp.ClientSession, path: str) -> None:
    """
    A browser without a session gets the sign-in form, and nothing else.
    """
    response = await send(session, "GET", f"{sandbox.ready.console_url}{path}")

    assert response.status == 200
    assert b"Admin token" in response.body
    assert b"Sign out" not in response.body


async def test_link_works_once(sandbox: Sandbox, user: ConsoleUser) -> None:
    """
    A link signs one browser in, once, by a redirect to an address without the ticket.
    """
    link = (await admin(sandbox, user.session, "POST", "console-links")).json["url"]

    first = await send(user.session, "GET", link)
    second = await send(user.session, "GET", link)

    assert [303, 403] == [first.status, second.status]
    assert "ticket" not in first.headers["Location"]
    cookie = first.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/_sandbox/console"))


async def test_admin_token_signs_in_and_signing_out_ends_the_session(
    sandbox: Sandbox, browser: aiohttp.ClientSession
) -> None:
    """
    The form accepts the admin token, which is then in no URL, and nothing else.
    """
    user = ConsoleUser(sandbox, browser)
    await user.get("")

    wrong = await user.post("/sign-in", "sign-in", token="wrong")
    right = await user.post("/sign-in", "sign-in", token=sandbox.ready.admin_token)
    overview = await user.text("")
    signed_out = await user.post("/sign-out", "sign-out")

    assert [403, 303, 303] == [wrong.status, right.status, signed_out.status]
    assert "Sign out" in overview
    assert b"Admin token" in (await user.get("/accounts")).body


async def test_root_redirects_to_the_console(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    The address that the sandbox prints leads to the console, also under another name of the host.
    """
    port = urlsplit(sandbox.api_url).port

    response = await send(session, "GET", sandbox.api_url + "/", headers={"Host": f"localhost:{port}"})

    assert (303, sandbox.ready.console_url) == (response.status, response.headers["Location"])


async def test_console_is_not_in_the_request_log(sandbox: Sandbox, user: ConsoleUser) -> None:
    """
    Requests of the console are neither logged nor affected by faults.
    """
    await sandbox.forget_requests()
    await sandbox.fault(path="*", times=None, status=500)

    page = await user.text("/requests")

    assert [] == await sandbox.requests()
    assert "0 of 0 matching requests" in page


# --- hostile pages and users ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost:{port}", "127.0.0.1", "[::1]:{port}"]
)
@pytest.mark.parametrize("path", ["/accounts", "/enter?ticket=x"])
async def test_page_of_another_name_is_refused(user: ConsoleUser, host: str, path: str) -> None:
    """
    A name that an attacker lets resolve to this machine (DNS rebinding) gets nothing, even with the session's cookie.
    """
    port = urlsplit(user.sandbox.api_url).port

    response = await user.get(path, headers={"Host": host.format(port=port)})

    assert response.status == 403
    assert b"only available at" in response.body
    assert b"Sign out" not in response.body


HOSTILE: list[tuple[dict[str, str], str | None]] = [
    ({"Origin": "https://evil.example"}, None),
    ({"Origin": "null"}, None),
    ({"Origin": "http://127.0.0.1:1"}, None),
    ({"Sec-Fetch-Site": "cross-site"}, None),
    ({"Sec-Fetch-Site": "same-site"}, None),
    ({}, ""),
    ({}, "0" * 64),
    ({}, "ä\udc80"),
]


@pytest.mark.parametrize(("headers", "csrf"), HOSTILE)
async def test_form_of_another_page_does_nothing(user: ConsoleUser, headers: dict[str, str], csrf: str | None) -> None:
    """
    A form that another origin sends, or that has no token of this browser, changes nothing.
    """
    email = unique_email()
    if csrf is not None:
        user.csrf = csrf

    response = await user.post("/accounts", "create", email=email, password=PASSWORD, headers=headers)

    assert response.status in {400, 403}
    assert email not in await user.text("/accounts")


async def test_form_token_of_another_browser_does_nothing(
    sandbox: Sandbox, user: ConsoleUser, session: aiohttp.ClientSession
) -> None:
    """
    A form token is only valid with the cookie of the browser that it was sent to, and with a session.
    """
    email = unique_email()
    other = ConsoleUser(sandbox, session)
    await other.get("")
    stolen, user.csrf = user.csrf, other.csrf

    foreign = await user.post("/accounts", "create", email=email, password=PASSWORD)
    other.csrf = stolen
    without_session = await other.post("/accounts", "create", email=email, password=PASSWORD)

    assert [403, 403] == [foreign.status, without_session.status]
    assert email not in await user.text("/accounts")


async def test_issuers_session_is_not_one_of_the_console(
    sandbox: Sandbox, browser: aiohttp.ClientSession, user: ConsoleUser
) -> None:
    """
    A user who is signed in at the issuer has no access to the sandbox's console.
    """
    await sandbox.account(email := unique_email(), PASSWORD)
    signed_in = await user.post(await account_path(user, email), "sign-in")
    cookies = browser.cookie_jar.filter_cookies(URL(sandbox.issuer_url))
    only_issuer = {"Cookie": f"upstash_sandbox_session={cookies['upstash_sandbox_session'].value}"}

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as stranger:
        issuer = await send(stranger, "GET", f"{sandbox.issuer_url}/console", headers=only_issuer)
        console = await send(stranger, "GET", sandbox.ready.console_url, headers=only_issuer)

    assert f"{sandbox.issuer_url}/console" == signed_in.headers["Location"]
    assert email.encode() in issuer.body
    assert b"Admin token" in console.body


async def test_no_name_becomes_markup(
    sandbox: Sandbox, user: ConsoleUser, session: aiohttp.ClientSession, open_client: OpenClient
) -> None:
    """
    Names of accounts, keys, teams, members, databases, indexes, buckets, and apps, and paths of requests and faults
    are shown as text.
    """
    email = f"<b>{unique_email()}"
    await sandbox.account(email, PASSWORD)
    caller = Caller(sandbox, session, email, await sandbox.api_key(email, MARKUP))
    await sandbox.team(email, MARKUP[:64], {"<i>@example.com": "dev"})
    await caller.create(database_name=MARKUP[:64])
    vector = {"name": MARKUP[:64], "region": "us-east-1", "similarity_function": "COSINE", "dimension_count": 3}
    await caller.call("POST", "/v2/vector/index", vector)
    await caller.call("POST", "/v2/blob/bucket", {"name": MARKUP[:64]})
    registered = await open_client.register(client_name=MARKUP)
    open_client.client_id = registered.json["client_id"]
    await open_client.sign_in(email, sign_up=False)
    await send(session, "GET", f"{sandbox.api_url}/<script>alert(3)</script>%22%ff")
    await sandbox.fault(path="<script>alert(4)</script>", method="<u>", times=None, status=500, headers={"x": "<s>"})

    pages = {path: await user.text(path) for path in (*PAGES, await account_path(user, email))}
    await sandbox.clear_faults()

    for path, page in pages.items():
        assert not re.search(r"<(script|img|b|i|u|s)\b", page), path
    assert html.escape(MARKUP[:64]) in pages["/databases"]
    assert html.escape(MARKUP[:64]) in pages["/teams"]
    assert "&lt;b&gt;" in pages["/accounts"]
    assert "alert(3)&lt;/script&gt;" in pages["/requests"]
    assert "alert(4)&lt;/script&gt;" in pages["/faults"]


@pytest.mark.parametrize(
    ("path", "intent", "fields"),
    [
        ("/accounts", "create", {"email": "x" * 300 + "@example.com", "password": PASSWORD}),
        ("/accounts", "create", {"email": "nonsense", "password": PASSWORD}),
        ("/accounts", "create", {"email": "ada@example.com", "password": "short"}),
        ("/accounts", "create", {}),
        ("/accounts", "nonsense", {}),
        ("/teams", "create", {"email": "{email}", "team_name": "x" * 65}),
        ("/teams", "create", {"email": "{email}", "team_name": " "}),
        ("/teams", "create", {"email": "nobody@example.com", "team_name": "x"}),
        ("/teams", "add-member", {"team_id": "x", "member_email-x": "a@example.com", "member_role-x": "dev"}),
        ("/teams", "add-member", {"team_id": "x", "member_email-x": "a@example.com", "member_role-x": "owner"}),
        ("/teams", "remove-member", {"team_id": "x", "member_email": "a@example.com"}),
        ("/teams", "delete", {}),
        ("/databases", "create", {"owner": "x", "database_name": "x"}),
        ("/databases", "create", {"owner": "{id}", "database_name": "x" * 65}),
        ("/faults", "add", {"kind": "status", "method": "*", "path": "*", "status": "99", "listener": "api"}),
        ("/faults", "add", {"kind": "status", "method": "*", "path": "*", "status": "1e3"}),
        ("/faults", "add", {"kind": "delay", "method": "*", "path": "*", "seconds": "nan"}),
        ("/faults", "add", {"kind": "delay", "method": "*", "path": "*", "seconds": "-1"}),
        ("/faults", "add", {"kind": "slow", "method": "*", "path": "*", "seconds": "0"}),
        ("/faults", "add", {"kind": "truncate", "method": "*", "path": "*", "bytes": "9" * 30}),
        ("/faults", "add", {"kind": "reset", "method": "*", "path": "*", "listener": "x"}),
        ("/faults", "add", {"kind": "reset", "method": "", "path": "*"}),
        ("/faults", "add", {"kind": "nonsense", "method": "*", "path": "*"}),
        ("/faults", "remove", {"fault": "²"}),
        ("/faults", "switch", {"fault": "9" * 40, "enabled": "1"}),
        ("{account}", "create-key", {"name": "x" * 101}),
        ("{account}", "create-key", {"name": ""}),
        ("{account}", "revoke-key", {"name": "unknown"}),
        ("{account}", "revoke-grant", {"grant": "unknown"}),
        ("/accounts/unknown", "delete", {}),
    ],
)
async def test_invalid_form_is_refused_with_a_reason(
    user: ConsoleUser, caller: Caller, path: str, intent: str, fields: dict[str, str]
) -> None:
    """
    A form with a missing, invalid, or too long field changes nothing, and the page says why.
    """
    account = await account_path(user, caller.email)
    account_id = account.removeprefix("/accounts/").replace("%7C", "|")
    filled = {
        name: value.replace("{email}", caller.email).replace("{id}", account_id) for name, value in fields.items()
    }

    response = await user.post(path.replace("{account}", account), intent, filled)

    assert response.status in {400, 404, 409}, response.body
    assert b'role="alert"' in response.body


async def test_characters_that_are_not_text_are_refused(user: ConsoleUser, caller: Caller) -> None:
    """
    A form can have half of a surrogate pair, in UTF-7 for instance. It cannot be stored or shown, and is refused.
    """
    headers = {"Origin": user.sandbox.api_url, "Content-Type": f"{FORM}; charset=utf-7"}
    fields = f"csrf={user.csrf}&intent=create&email={quote(caller.email)}&team_name=+2AA-"

    response = await send(user.session, "POST", f"{user.url}/teams", data=fields.encode(), headers=headers)

    assert (400, True) == (response.status, b"characters that are not text" in response.body)


async def test_oversized_form_is_refused(user: ConsoleUser) -> None:
    """
    A form of more than a megabyte is refused, with an error.
    """
    response = await user.post("/teams", "create", team_name="x" * 2_000_000)

    assert (413, {"error": "the request body is too large"}) == (response.status, response.json)


# --- what the pages do ------------------------------------------------------------------------------------------------


async def test_every_page_forbids_scripts_and_other_sites(user: ConsoleUser) -> None:
    """
    No page loads anything from elsewhere, runs a script, can be framed, or is cached.
    """
    for path in PAGES:
        response = await user.get(path)
        policy = response.headers["Content-Security-Policy"]
        assert all(part in policy for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"))
        assert "script-src" not in policy
        assert "no-store" == response.headers["Cache-Control"]
        assert not re.search(rb"https?://(?!127\.0\.0\.1)", response.body), path


async def test_account_is_created_and_deleted(user: ConsoleUser) -> None:
    """
    A user can sign in to an account that the console created, until the account is deleted.
    """
    await user.post("/accounts", "create", email=(email := unique_email()), password=PASSWORD)
    await user.sandbox.team(email, "Librarians")
    path = await account_path(user, email)
    page = await user.text(path)

    deleted = await user.post(path, "delete")

    assert "Librarians" in page
    assert (303, "/_sandbox/console/accounts") == (deleted.status, deleted.headers["Location"])
    assert email not in await user.text("/accounts")
    assert (await user.get(path)).status == 404


async def test_api_key_is_shown_once_and_works(user: ConsoleUser, session: aiohttp.ClientSession) -> None:
    """
    A key that is created by hand is shown once. A read-only one can read, and is refused with 403 when it writes.
    """
    sandbox = user.sandbox
    await sandbox.account(email := unique_email(), PASSWORD)
    path = await account_path(user, email)
    await user.get(path)

    created = await user.post(path, "create-key", {"name": "laptop", "read-only": "1"})
    (api_key,) = re.findall(r"<code>([\w-]+)</code>", created.body.decode())
    caller = Caller(sandbox, session, email, api_key)
    read = await caller.call("GET", "databases")
    written = await caller.call("POST", "database", {})
    later = await user.text(path)
    await user.post(path, "revoke-key", name="laptop")
    revoked = await caller.call("GET", "databases")

    assert [200, 403, 401] == [read.status, written.status, revoked.status]
    assert "laptop" in later
    assert "Read-only" in later
    assert api_key not in later


async def test_grant_is_expired_and_revoked(user: ConsoleUser, open_client: OpenClient) -> None:
    """
    The console lets an app's access token expire, and revokes the grant.
    """
    tokens = await open_client.sign_in(email := unique_email())
    path = await account_path(user, email)
    (grant,) = await user.sandbox.grants(email)
    await user.get(path)

    before = await open_client.token_info(tokens["access_token"])
    await user.post(path, "expire-grant", grant=grant["id"])
    expired = await open_client.token_info(tokens["access_token"])
    await user.post(path, "revoke-grant", grant=grant["id"])

    assert [200, 401] == [before.status, expired.status]
    assert [] == await user.sandbox.grants(email)
    assert "Revoke OAuth Client: Book shop" in await user.text(path)


async def test_team_is_managed(user: ConsoleUser, caller: Caller) -> None:
    """
    The console creates a team, adds and removes a member, and deletes it with its databases.
    """
    await user.post("/teams", "create", email=caller.email, team_name="Librarians")
    (team,) = (await caller.call("GET", "/v2/teams")).json
    team_id = team["team_id"]
    member = {f"member_email-{team_id}": "grace@example.com", f"member_role-{team_id}": "finance"}

    async def members() -> list[tuple[str, str]]:
        listed = (await caller.call("GET", f"/v2/teams/{team_id}")).json
        return [(one["member_email"], one["member_role"]) for one in listed]

    await user.post("/teams", "add-member", {"team_id": team_id, **member})
    added = await members()
    await user.post("/teams", "remove-member", team_id=team_id, member_email="grace@example.com")
    removed = await members()
    await user.post("/databases", "create", owner=team_id, database_name=(name := f"shared-{secrets.token_hex(6)}"))
    page = await user.text("/databases")
    await user.post("/teams", "delete", team_id=team_id)

    assert [(caller.email, "owner"), ("grace@example.com", "finance")] == added
    assert [(caller.email, "owner")] == removed
    assert name in page
    assert "team Librarians" in page
    assert [] == (await caller.call("GET", "/v2/teams")).json
    assert name not in await user.text("/databases")


async def test_database_is_created_and_listed_without_secrets(user: ConsoleUser, caller: Caller) -> None:
    """
    The console creates a database that works, and shows where it is, without its password and tokens.
    """
    account_id = (await account_path(user, caller.email)).removeprefix("/accounts/").replace("%7C", "|")

    created = await user.post("/databases", "create", owner=account_id, database_name="atlas")
    (database,) = (await caller.call("GET", "databases")).json
    page = await user.text("/databases")

    assert created.status == 303
    assert "OK" == await caller.run(database, "SET", "a", "b")
    assert f"redis://127.0.0.1:{database['port']}" in page
    assert not any(database[name] in page for name in ("password", "rest_token", "read_only_rest_token"))


async def test_request_log_is_filtered_refreshed_and_cleared(user: ConsoleUser, caller: Caller) -> None:
    """
    The log can be filtered, reloads regularly if the user has turned that on, and can be cleared.
    """
    await user.sandbox.forget_requests()
    await caller.call("GET", "databases?credentials=hide")
    await caller.call("POST", "database", {})

    everything = await user.text("/requests")
    filtered = await user.text("/requests?method=post&path=/v2/*&status=400&listener=api")
    invalid = await user.text("/requests?status=abc")
    live = await user.get("/requests?live=1&method=POST")
    await user.post("/requests", "clear")

    assert "2 of 2 matching requests" in everything
    assert "credentials" not in everything
    assert "1 of 1 matching requests" in filtered
    assert "POST /v2/redis/database<" in filtered
    assert "Status must be a number" in invalid
    assert ("3", True) == (live.headers["Refresh"], "Stop refreshing" in live.body.decode())
    assert [] == await user.sandbox.requests()


async def test_fault_is_switched_off_and_on_and_removed(user: ConsoleUser, caller: Caller) -> None:
    """
    A fault of the console makes requests fail while it is on.
    """
    form = {"kind": "status", "listener": "api", "method": "GET", "path": "/v2/redis/*", "status": "503", "times": ""}

    async def status() -> int:
        return (await caller.call("GET", "databases")).status

    await user.post("/faults", "add", form, when="before")
    (fault_id,) = re.findall(r'name="fault" value="(\d+)"', await user.text("/faults"))[:1]
    on = await status()
    await user.post("/faults", "switch", fault=fault_id, enabled="0")
    off = await status()
    await user.post("/faults", "switch", fault=fault_id, enabled="1")
    on_again = await status()
    await user.post("/faults", "remove", fault=fault_id)

    assert [503, 200, 503, 200] == [on, off, on_again, await status()]
    assert "There are no faults." in await user.text("/faults")


@pytest.mark.parametrize("kind", ["delay", "reset", "truncate", "slow"])
async def test_every_kind_of_fault_can_be_added(user: ConsoleUser, kind: str) -> None:
    """
    The form describes each kind of fault.
    """
    expected = {"delay": ("latency", 0.5), "reset": ("reset", True), "truncate": ("truncate", 3), "slow": ("drip", 0.5)}
    form = {
        "kind": kind,
        "listener": "rest",
        "method": "*",
        "path": "/get",
        "seconds": "0.5",
        "bytes": "3",
        "times": "2",
    }

    added = await user.post("/faults", "add", form, when="after")
    (fault,) = (await admin(user.sandbox, user.session, "GET", "faults")).json

    name, value = expected[kind]
    assert (303, value, "rest", 2, "after") == (
        added.status, fault[name], fault["listener"], fault["times"], fault["when"],
    )  # fmt: skip
