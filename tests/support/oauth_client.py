"""An OAuth client of ``/mcp``: a program that registers, opens the browser, and gets tokens."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

if TYPE_CHECKING:
    from tests.support.world import Reply, World

REDIRECT = "http://localhost:43117/callback"
NAVIGATION = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class OAuthClient:
    """A client, with the parameters of its next authorization request. A value of None leaves a parameter out."""

    world: World
    id: str
    redirect_uri: str = REDIRECT
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def issuer(self) -> str:
        """The issuer, by the name that the client uses."""
        return f"http://localhost:{self.world.port}"

    @property
    def resource(self) -> str:
        """The address of ``/mcp``."""
        return f"{self.issuer}/mcp"

    @property
    def challenge(self) -> str:
        """The code challenge."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def address(self, **changes: str | None) -> str:
        """Return the address that the program opens in the browser."""
        parameters = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect_uri,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "resource": self.resource,
            "state": self.state,
            **changes,
        }
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        return f"{self.issuer}/oauth/authorize?{query}"

    async def authorize(self, **changes: str | None) -> Reply:
        """Open the authorization request, as the browser does."""
        return await self.open(self.address(**changes).removeprefix(self.issuer))

    async def open(self, address: str) -> Reply:
        """Open a page, as the browser does."""
        return await self.world.get(address, headers={**NAVIGATION, "Host": f"localhost:{self.world.port}"}, token=None)

    async def begin(self, **changes: str | None) -> str:
        """Open the authorization request, and return the address of its page."""
        reply = await self.authorize(**changes)
        assert reply.status == 303, reply.text
        assert reply.headers["Location"].startswith("/oauth/requests/"), reply.headers["Location"]
        return reply.headers["Location"]

    async def answer(self, page: str) -> dict[str, str]:
        """Return what the program gets at its redirect URI, once the user has decided."""
        return self.answer_in(await self.decided(page))

    async def decided(self, page: str) -> Reply:
        """Return the page of a request after the user's decision."""
        while await self.wait(page) != "decided":
            pass
        return await self.open(page)

    async def wait(self, page: str) -> str:
        """Wait for the decision, as the page does, and return the answer."""
        fetch = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
        own = {"Host": self.issuer.removeprefix("http://"), "Origin": self.issuer}
        reply = await self.world.call("POST", f"{page}/decision", headers={**own, **fetch}, token=None)
        assert reply.status == 200, reply.text
        return reply.text

    def answer_in(self, reply: Reply) -> dict[str, str]:
        """Return what the program gets at its redirect URI."""
        assert reply.status == 303, reply.text
        address = reply.headers["Location"]
        assert address.startswith(f"{self.redirect_uri}?"), address
        return {name: values[0] for name, values in parse_qs(urlsplit(address).query, strict_parsing=True).items()}

    async def code(self, **granted: Any) -> str:
        """Return a code that the user has approved; ``granted`` is the body of the approval."""
        page = await self.begin()
        await decide(self.world, "approve", **granted)
        return (await self.answer(page))["code"]

    async def exchange(self, code: str, **changes: str | None) -> Reply:
        """Send a code to the token endpoint."""
        return await self.post(
            "token",
            **{
                "grant_type": "authorization_code",
                "client_id": self.id,
                "code": code,
                "redirect_uri": self.redirect_uri,
                "code_verifier": self.verifier,
                "resource": self.resource,
                **changes,
            },
        )

    async def sign_in(self, **granted: Any) -> dict[str, Any]:
        """Return tokens that the user has approved."""
        reply = await self.exchange(await self.code(**granted))
        assert reply.status == 200, reply.text
        tokens: dict[str, Any] = reply.json
        return tokens

    async def refresh(self, refresh_token: str, **changes: str | None) -> Reply:
        """Send a refresh token to the token endpoint."""
        form = {"grant_type": "refresh_token", "client_id": self.id, "refresh_token": refresh_token}
        return await self.post("token", **{**form, "resource": self.resource, **changes})

    async def revoke(self, token: str, **changes: str | None) -> Reply:
        """Revoke a token."""
        return await self.post("revoke", **{"client_id": self.id, "token": token, **changes})

    async def post(self, endpoint: str, **form: str | None) -> Reply:
        """Send a form."""
        body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
        return await self.world.call("POST", f"/oauth/{endpoint}", body, headers=FORM, token=None)


async def register(world: World, *redirect_uris: str, name: str = "Claude Code", **metadata: Any) -> Reply:
    """Register a client."""
    body = {"client_name": name, "redirect_uris": redirect_uris or ("http://localhost:1/callback",), **metadata}
    return await world.call("POST", "/oauth/register", body, token=None)


async def registered(world: World, *redirect_uris: str, name: str = "Claude Code", **metadata: Any) -> OAuthClient:
    """Return a registered client."""
    reply = await register(world, *redirect_uris, name=name, **metadata)
    assert reply.status == 201, reply.text
    return OAuthClient(world, reply.json["client_id"])


async def decide(world: World, decision: str, **granted: Any) -> None:
    """Decide the only access request that waits."""
    [waiting] = (await world.get("/v1/pairings")).json["pairings"]
    body = granted if decision == "approve" else None
    reply = await world.call("POST", f"/v1/pairings/{waiting['id']}/{decision}", body)
    assert reply.status == 200, reply.text


async def works(world: World, access_token: str) -> bool:
    """Return whether the daemon knows an access token. At the API, it is refused with another reason if it does."""
    reply = await world.get("/v1/token", token=access_token)
    assert (401, "invalid_token") == (reply.status, reply.code)
    return "accepted only at /mcp" in reply.json["detail"]


def user_code(page: Reply) -> str:
    """Return the code that a page shows."""
    found = re.search(r'<span class="code">([A-Z]{4}-[A-Z]{4})</span>', page.text)
    assert found, page.text
    return found[1]
