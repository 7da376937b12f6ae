"""
The sandbox for tests, in its own process.

    async with Sandbox.running(tmp_path) as sandbox:
        redirect = await sandbox.authorize(url, "ada@example.com", "correct horse")
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from yarl import URL

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90.0
STOP_SECONDS = 10.0
REDIRECTS = {301, 302, 303, 307, 308}


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The line that the sandbox prints when it is ready."""

    auth_url: str
    api_url: str
    rest_url: str
    rest_tls_url: str | None = None
    issuer_url: str
    client_id: str
    redirect_uris: list[str]
    admin_url: str
    admin_token: str
    console_url: str
    data: str
    backend: str
    tls_ca: str | None
    pid: int


class SandboxFailed(Exception):
    """The sandbox did not start, rejected a request to its admin API, or returned a page with an error."""

    def __init__(self, message: str, *, returncode: int | None = None) -> None:
        super().__init__(message)
        self.returncode = returncode


class Sandbox:
    """A sandbox process with its data folder. It can be started, stopped, killed, and restarted."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = 0,
        redirect_uris: tuple[str, ...] = (),
        client_id: str | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        quick_sign_ups: bool = False,
    ) -> None:
        """
        Args:
            data: The data folder. It is kept when the sandbox stops.
            port: The port of the sign-in and Developer API. 0 picks a free one; None uses the sandbox's default.
            redirect_uris: The redirect URIs to register. Empty: the sandbox's default.
            client_id: The OAuth client to register. None: the sandbox's default.
            arguments: More arguments.
            environment: Variables added to this process's environment.
            quick_sign_ups: Hash passwords at a low cost, for a sandbox with an account for each of many tests.
        """
        self.data = data
        self._module = "upstash_helper.sandbox"
        self._arguments = ["--data", str(data)]
        self._arguments += [part for uri in redirect_uris for part in ("--redirect-uri", uri)]
        self._arguments += ["--client-id", client_id] if client_id else []
        self._arguments += arguments
        self._port = port
        self._environment = {**os.environ, **(environment or {})}
        if quick_sign_ups:
            self._module = "tests.support.quick_sign_ups"
            paths = (str(ROOT), self._environment.get("PYTHONPATH", ""))
            self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[str] | None = None
        self._ready: Ready | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, data: Path, **options: Any) -> AsyncIterator[Self]:
        """Start a sandbox, and stop it on exit from the context."""
        sandbox = cls(data, **options)
        await sandbox.start()
        try:
            yield sandbox
        finally:
            await sandbox.stop()

    # --- the process ---

    async def start(self) -> Ready:
        """
        Start the process and wait until it is ready.

        Raises:
            SandboxFailed: If it exits instead, with its standard error and its exit code.
        """
        port = [] if self._port is None else ["--port", str(self._port)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            *self._arguments,
            *port,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        self._stderr = asyncio.create_task(_text_of(stderr))
        async with asyncio.timeout(START_SECONDS):
            line = await stdout.readline()
        if not line:
            returncode = await self._process.wait()
            raise SandboxFailed(await self._stderr, returncode=returncode)
        self._ready = msgspec.json.decode(line, type=Ready)
        return self._ready

    async def stop(self) -> int:
        """Terminate the process and return its exit code. Does nothing if it is not running."""
        return await self._end(kill=False)

    async def kill(self) -> None:
        """Kill the process, so that it cannot clean up."""
        await self._end(kill=True)

    async def restart(self) -> Ready:
        """Stop the process, and start it with the same data folder and port."""
        await self.stop()
        self._port = URL(self.ready.auth_url).port
        return await self.start()

    async def _end(self, *, kill: bool) -> int:
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            (process.kill if kill else process.terminate)()
        async with asyncio.timeout(STOP_SECONDS):
            return await process.wait()

    async def stderr(self) -> str:
        """Return its standard error, once it has exited."""
        assert self._stderr is not None
        return await self._stderr

    # --- URLs ---

    @property
    def ready(self) -> Ready:
        """What the sandbox printed at its last start."""
        assert self._ready is not None, "the sandbox was not started"
        return self._ready

    @property
    def auth_url(self) -> str:
        """The authorization server's URL."""
        return self.ready.auth_url

    @property
    def api_url(self) -> str:
        """The Developer API's URL, without ``/v2``."""
        return self.ready.api_url

    @property
    def rest_url(self) -> str:
        """The URL of the databases' REST API."""
        return self.ready.rest_url

    @property
    def issuer_url(self) -> str:
        """The issuer of the open sign-in."""
        return self.ready.issuer_url

    @property
    def client_id(self) -> str:
        """The ID of the registered OAuth client."""
        return self.ready.client_id

    # --- the user in the browser ---

    async def authorize(self, url: str, email: str, password: str, *, sign_up: bool = True) -> str:
        """
        Complete the sign-in pages as a user in a browser would.

        Args:
            url: The authorization URL that the app opened.
            email: The email to enter.
            password: The password to enter.
            sign_up: Create an account. Otherwise sign in to an existing one.

        Returns:
            The URL that the browser is redirected to, which is not followed: the redirect URI with ``code``.

        Raises:
            SandboxFailed: With the page's message, if the form is shown again.
        """
        intent = "sign-up" if sign_up else "sign-in"
        return await self._browse(url, {"email": email, "password": password, "intent": intent})

    async def cancel(self, url: str) -> str:
        """Press Cancel on the sign-in page, and return the URL that the browser is redirected to."""
        return await self._browse(url, {"email": "", "password": "", "intent": "cancel"})

    async def _browse(self, url: str, fields: dict[str, str]) -> str:
        # Without `unsafe`, aiohttp ignores cookies from IP addresses.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(URL(url, encoded=True), allow_redirects=False) as response:
                if response.status in REDIRECTS:
                    return response.headers["Location"]
                page = read_page(await response.text())
            if page.action is None:
                raise SandboxFailed(page.message)
            target = URL(url, encoded=True).join(URL(page.action, encoded=True))
            headers = {"Origin": str(target.origin())}
            form = aiohttp.FormData({**page.hidden, **fields})
            async with browser.post(target, data=form, headers=headers, allow_redirects=False) as response:
                if response.status in REDIRECTS:
                    return response.headers["Location"]
                raise SandboxFailed(read_page(await response.text()).message)

    # --- the admin API ---

    async def account(self, email: str, password: str) -> None:
        """Create an account."""
        await self._admin("POST", "accounts", {"email": email, "password": password})

    async def api_key(self, email: str, name: str, *, read_only: bool = False) -> str:
        """Create an API key for an account, as the user would in the console."""
        response = await self._admin("POST", "api-keys", {"email": email, "name": name, "read_only": read_only})
        return str(response["api_key"])

    async def api_key_names(self, email: str) -> list[str]:
        """Return the names of an account's API keys, the oldest first."""
        names: list[str] = await self._admin("GET", "api-keys", query={"email": email})
        return names

    async def revoke_api_key(self, email: str, name: str) -> None:
        """Revoke an API key, as the user would in the console."""
        await self._admin("POST", "api-keys", {"email": email, "name": name, "revoke": True})

    async def team(self, email: str, name: str, members: Mapping[str, str] | None = None) -> str:
        """Create a team of an account and return its ID. ``members``: the roles of others, by email."""
        body = {"email": email, "team_name": name, "members": dict(members or {})}
        return str((await self._admin("POST", "teams", body))["team_id"])

    async def grants(self, email: str | None = None) -> list[dict[str, Any]]:
        """Return the issuer's grants, oldest first: all, or those of an account."""
        query = {} if email is None else {"email": email}
        grants: list[dict[str, Any]] = await self._admin("GET", "grants", query=query)
        return grants

    async def revoke_grant(self, grant_id: str) -> None:
        """Revoke a grant, as the user would in the console."""
        await self._admin("POST", "grants", {"id": grant_id, "action": "revoke"})

    async def expire_access_tokens(self, grant_id: str) -> None:
        """Let the access tokens of a grant expire. Its refresh token stays valid."""
        await self._admin("POST", "grants", {"id": grant_id, "action": "expire"})

    async def clients(self) -> list[dict[str, Any]]:
        """Return the clients that have registered at the issuer, oldest first."""
        clients: list[dict[str, Any]] = await self._admin("GET", "clients")
        return clients

    async def remove_client(self, client_id: str) -> None:
        """Delete a client of the issuer, so that it must register again."""
        await self._admin("DELETE", f"clients/{client_id}")

    async def settings(self, **changes: Any) -> dict[str, Any]:
        """
        Change some settings (see ``upstash_helper.sandbox.oauth.settings``), reset the others, and return all.

        Without arguments, all settings have their defaults.
        """
        response: dict[str, Any] = await self._admin("PUT", "settings", changes)
        return response

    async def fault(self, **fault: Any) -> None:
        """Activate a fault (see ``upstash_helper.sandbox.faults.Fault``)."""
        await self._admin("POST", "faults", fault)

    async def clear_faults(self) -> None:
        """Remove all faults."""
        await self._admin("DELETE", "faults")

    async def requests(self) -> list[dict[str, Any]]:
        """Return the logged requests, oldest first: listener, method, path, time, status, fault."""
        response: list[dict[str, Any]] = await self._admin("GET", "requests")
        return response

    async def forget_requests(self) -> None:
        """Empty the request log."""
        await self._admin("DELETE", "requests")

    async def _admin(self, method: str, name: str, body: Any = None, *, query: Mapping[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.ready.admin_token}"}
        data = None if body is None else msgspec.json.encode(body)
        url = f"{self.ready.admin_url}/{name}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=data, headers=headers, params=query) as response,
        ):
            text = await response.text()
            if response.status != 200:
                raise SandboxFailed(f"{method} {name}: {response.status} {text}")
            return msgspec.json.decode(text)


class Page(msgspec.Struct):
    """A parsed page."""

    action: str | None = None
    """The form's target; None if there is no form."""
    hidden: dict[str, str] = {}
    fields: dict[str, str] = {}
    """The values of the visible fields."""
    choices: dict[str, list[str]] = {}
    """The values of the radio buttons, by name."""
    chosen: dict[str, str] = {}
    """The preselected ones."""
    message: str = ""
    """The page's notice, or its lead."""


def read_page(html: str) -> Page:
    """Parse a sign-in page."""
    reader = _Reader()
    reader.feed(html)
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.page.action = values["action"]
        elif tag == "input" and values.get("type") == "radio":
            self.page.choices.setdefault(values["name"], []).append(values["value"])
            if "checked" in values:
                self.page.chosen[values["name"]] = values["value"]
        elif tag == "input":
            fields = self.page.hidden if values.get("type") == "hidden" else self.page.fields
            fields[values["name"]] = values.get("value", "")
        elif tag == "p":
            self._inside = values.get("class", "")
            if self._inside == "notice":
                self.page.message = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in {"notice", "lead"}:
            self.page.message += data


async def _text_of(stream: asyncio.StreamReader) -> str:
    return (await stream.read()).decode(errors="replace")
