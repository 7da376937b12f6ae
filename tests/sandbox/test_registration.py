"""Dynamic client registration at the issuer (RFC 7591), and which redirect URIs a client may then use (RFC 8252)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import OpenClient, send

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


async def test_registration_returns_the_client(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    A program registers itself and receives a client ID without a secret, and the metadata that it sent.
    """
    response = await open_client.register(client_name="upstash-helper (laptop)")

    registered = response.json
    assert (201, "no-store") == (response.status, response.headers["Cache-Control"])
    assert "client_secret" not in registered
    assert {
        "client_name": "upstash-helper (laptop)",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "openid email offline_access",
    } == {name: value for name, value in registered.items() if not name.startswith("client_id")}
    assert registered["client_id"] in {client["id"] for client in await sandbox.clients()}


async def test_each_registration_is_a_new_client(open_client: OpenClient) -> None:
    """
    Registering twice makes two clients.
    """
    first, second = await open_client.register(), await open_client.register()

    assert first.json["client_id"] != second.json["client_id"]


async def test_only_redirect_uris_are_required(open_client: OpenClient) -> None:
    """
    Everything but the redirect URIs has a default, and unknown metadata is ignored.
    """
    optional = dict.fromkeys(
        ["client_name", "grant_types", "response_types", "token_endpoint_auth_method", "scope"], None
    )

    response = await open_client.register(**optional, software_id="book-shop", client_uri="https://books.example")

    assert response.status == 201
    assert (["authorization_code"], ["code"], "none") == (
        response.json["grant_types"],
        response.json["response_types"],
        response.json["token_endpoint_auth_method"],
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": None}, "invalid_client_metadata"),
        ({"redirect_uris": []}, "invalid_client_metadata"),
        ({"redirect_uris": "http://127.0.0.1/callback"}, "invalid_client_metadata"),
        ({"client_name": "x" * 101}, "invalid_client_metadata"),
        ({"client_name": "two\nlines"}, "invalid_client_metadata"),
        ({"client_name": "reversed \u202e"}, "invalid_client_metadata"),
        ({"client_name": ""}, "invalid_client_metadata"),
        ({"client_name": 5}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["refresh_token"]}, "invalid_client_metadata"),
        ({"grant_types": ["authorization_code", "client_credentials"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"scope": "openid admin"}, "invalid_client_metadata"),
        ({"redirect_uris": ["http://example.com/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1/callback", "http://127.0.0.2/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1/callback#fragment"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://user@127.0.0.1/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1:80@example.com/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1:0/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1:65536/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1\\@example.com/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://127.0.0.1/a b"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://[::1/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https:///callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://example.com/" + "a" * 2048]}, "invalid_redirect_uri"),
    ],
)
async def test_invalid_metadata_is_rejected(
    sandbox: Sandbox, open_client: OpenClient, changes: dict[str, Any], error: str
) -> None:
    """
    Invalid metadata is rejected with the error code of RFC 7591, section 3.2.2, and a description.
    """
    before = await sandbox.clients()

    response = await open_client.register(**changes)

    assert (400, error) == (response.status, response.json["error"])
    assert response.json["error_description"]
    assert before == await sandbox.clients()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_malformed_registration_is_rejected(open_client: OpenClient, body: bytes) -> None:
    """
    A body that is not a JSON object is rejected with the same error code.
    """
    url, headers = f"{open_client.sandbox.issuer_url}/oauth/register", {"Content-Type": "application/json"}

    response = await send(open_client.session, "POST", url, data=body, headers=headers)

    assert (400, "invalid_client_metadata") == (response.status, response.json["error"])


async def test_registration_can_be_turned_off(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    With registration turned off, it is refused, and the metadata does not name the endpoint.
    """
    await sandbox.settings(issuer_registration=False)

    response = await open_client.register()
    metadata = await send(open_client.session, "GET", f"{sandbox.issuer_url}/.well-known/oauth-authorization-server")

    assert (403, "access_denied") == (response.status, response.json["error"])
    assert "registration_endpoint" not in metadata.json


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback"),
        ("http://127.0.0.1:8080/callback", "http://127.0.0.1:49152/callback"),
        ("http://[::1]/callback", "http://[::1]:49152/callback"),
        ("http://127.0.0.1/", "http://127.0.0.1:49152"),
        ("http://127.0.0.1/callback?a=b", "http://127.0.0.1:49152/callback?a=b"),
        ("https://app.example/callback", "https://app.example/callback"),
        ("com.example.app:/callback", "com.example.app:/callback"),
    ],
)
async def test_redirect_uri_can_have_another_port_of_a_loopback_address(
    open_client: OpenClient, registered: str, requested: str
) -> None:
    """
    A client can use its redirect URI, with any port if it is on a loopback address (RFC 8252, section 7.3).
    """
    client_id = (await open_client.register(redirect_uris=[registered])).json["client_id"]

    page = await send(open_client.session, "GET", open_client.url(client_id=client_id, redirect_uri=requested))

    assert page.status == 200
    assert b"<form" in page.body


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback/"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback?a=b"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:0/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:99999/callback"),
        ("http://127.0.0.1/callback", "http://[::1]:49152/callback"),
        ("http://127.0.0.1/callback", "http://localhost:49152/callback"),
        ("http://127.0.0.1/callback", "https://127.0.0.1:49152/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1.example.com/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:80@example.com/callback"),
        ("http://localhost/callback", "http://localhost:49152/callback"),
        ("https://app.example/callback", "https://app.example:8443/callback"),
        ("https://app.example/callback", "https://app.example/callback/.."),
    ],
)
async def test_other_redirect_uris_show_an_error_page(open_client: OpenClient, registered: str, requested: str) -> None:
    """
    Everything but the port of a loopback address is compared exactly, and a mismatch is not redirected.
    """
    client_id = (await open_client.register(redirect_uris=[registered])).json["client_id"]

    page = await send(open_client.session, "GET", open_client.url(client_id=client_id, redirect_uri=requested))

    assert page.status == 400
    assert "Location" not in page.headers
    assert b"<form" not in page.body
