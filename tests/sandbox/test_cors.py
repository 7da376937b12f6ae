"""Cross-origin requests: a library in a single-page app signs in with `fetch`, and must be able to read responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.callers import send

if TYPE_CHECKING:
    import aiohttp

    from tests.support.sandbox import Sandbox

PAGE = {"Origin": "https://books.example"}

ENDPOINTS = [
    ("issuer GET /.well-known/oauth-authorization-server", 200),
    ("issuer GET /.well-known/openid-configuration", 200),
    ("issuer GET /.well-known/jwks.json", 200),
    ("issuer POST /oauth/register", 400),
    ("issuer POST /oauth/token", 400),
    ("issuer POST /oauth/token/revoke", 400),
    ("issuer GET /oauth/userinfo", 401),
    ("api GET /.well-known/openid-configuration", 200),
    ("api GET /.well-known/jwks.json", 200),
    ("api POST /oauth/token", 400),
    ("api POST /oauth/revoke", 400),
    ("api GET /userinfo", 401),
    ("api POST /apikey", 401),
]


def url_of(sandbox: Sandbox, listener: str) -> str:
    """Return the URL of a listener."""
    return sandbox.issuer_url if listener == "issuer" else sandbox.auth_url


@pytest.mark.parametrize(("endpoint", "status"), ENDPOINTS)
async def test_pages_can_read_responses(
    sandbox: Sandbox, session: aiohttp.ClientSession, endpoint: str, status: int
) -> None:
    """
    A page of any origin can read the response, also if it is an error, and the preflight allows its headers.
    """
    listener, method, path = endpoint.split()
    url = url_of(sandbox, listener) + path
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "auth0-client,authorization"}
    form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}

    preflight = await send(session, "OPTIONS", url, headers=PAGE | asked)
    response = await send(session, method, url, headers=PAGE | form)

    assert (204, status) == (preflight.status, response.status)
    assert "*" == preflight.headers["Access-Control-Allow-Origin"] == response.headers["Access-Control-Allow-Origin"]
    assert method in preflight.headers["Access-Control-Allow-Methods"]
    assert {"auth0-client", "authorization"} == {
        name.strip().lower() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")
    }


@pytest.mark.parametrize(
    ("listener", "path"),
    [
        ("issuer", "/oauth/authorize"),
        ("issuer", "/console"),
        ("api", "/authorize"),
        ("api", "/v2/redis/databases"),
        ("api", "/_sandbox/settings"),
    ],
)
async def test_pages_cannot_read_other_responses(
    sandbox: Sandbox, session: aiohttp.ClientSession, listener: str, path: str
) -> None:
    """
    The pages for users, the Developer API, and the admin API cannot be read by pages of other origins.
    """
    url = url_of(sandbox, listener) + path

    preflight = await send(session, "OPTIONS", url, headers=PAGE | {"Access-Control-Request-Method": "GET"})
    response = await send(session, "GET", url, headers=PAGE)

    assert 405 == preflight.status
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert "Access-Control-Allow-Origin" not in response.headers
