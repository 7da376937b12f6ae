"""A captive portal, or a proxy, that answers in place of Upstash: identified as one, with real servers."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.clock import FakeClock
from tests.support.faulty import Answer, faulty
from tests.support.tls_server import connect_proxy
from tests.unit.upstream.test_http_client import failed, request
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.interception import SIGN_IN, describe
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.streaming import StreamingRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PAGE = Answer(
    200, b"<!doctype html><title>Sign in to the network</title>", {"Content-Type": "text/html; charset=utf-8"}
)
REDIRECT = Answer(302, b"", {"Location": "http://portal.hotel.example/login?back=https://api.upstash.com/"})
REQUIRED = Answer(511, b"<html>", {"Content-Type": "text/html"})


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client, with very short retry delays."""
    upstream = HttpClient(clock=FakeClock(), retry_seconds=0.001)
    yield upstream
    await upstream.close()


async def refused(http: HttpClient, passed_through: Request) -> TransportFailed:
    """Pass a request through, and return the failure."""
    sent = StreamingRequest(method="GET", url=passed_through.url, headers={}, timeout=5.0)
    with pytest.raises(TransportFailed) as caught:
        async with http.open(sent):
            raise AssertionError
    return caught.value


@pytest.mark.parametrize(
    ("portal", "words"),
    [
        (PAGE, "A web page was received in place of a response from 127.0.0.1."),
        (REDIRECT, "A redirect to another site was received in place of a response from 127.0.0.1."),
        (REQUIRED, "The network requires you to sign in before 127.0.0.1 can be reached."),
    ],
    ids=["page", "redirect", "511"],
)
async def test_portal_is_identified(http: HttpClient, portal: Answer, words: str) -> None:
    """
    The error says what it is and what to do, and the request is not repeated.
    """
    async with faulty(portal) as server:
        failure = await failed(http, request(server.url))

        assert ("intercepted", f"{words} {SIGN_IN}") == (failure.kind, failure.detail)
        assert 1 == len(server.requests)


async def test_portal_is_identified_in_a_passed_through_response(http: HttpClient) -> None:
    """
    Apps do not get the portal's page as a response of Upstash either.
    """
    async with faulty(PAGE) as server:
        failure = await refused(http, request(server.url))

    assert "intercepted" == failure.kind


@pytest.mark.parametrize("send", [failed, refused])
async def test_certificate_of_another_name_is_identified(
    monkeypatch: pytest.MonkeyPatch, send: Callable[[HttpClient, Request], Awaitable[TransportFailed]]
) -> None:
    """
    A portal has no certificate of Upstash. Nothing is sent to it, and it is not tried again.
    """
    monkeypatch.setenv("no_proxy", "")
    authority, inside = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("portal.hotel.example").configure_cert(inside)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    http = HttpClient(clock=FakeClock(), tls=lambda: context, retry_seconds=0.001)
    async with faulty(tls=inside) as server:
        with connect_proxy(int(server.url.rpartition(":")[2])) as (port, asked):
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            failure = await send(http, request("https://api.upstash.test", RetryPolicy.UNSENT))
            await http.close()

        assert ["api.upstash.test:443"] == asked
        assert ("intercepted", "connecting") == (failure.kind, failure.stage)
        assert f"The certificate that was received is not for api.upstash.test. {SIGN_IN}" == failure.detail
        assert [] == server.requests


@pytest.mark.parametrize(
    ("status", "media_type", "location"),
    [
        (200, "application/json", None),
        (204, "", None),
        (204, "text/html", None),
        (302, "text/html", "https://api.upstash.com/v3"),
        (302, "", None),
        (302, "", "http://[bad"),
        (304, "", "https://elsewhere.example/"),
        (404, "text/html", None),
        (502, "text/html", None),
    ],
)
def test_other_responses_are_not_a_portal(status: int, media_type: str, location: str | None) -> None:
    """
    What Upstash itself, or its gateway, may send is not taken for one.
    """
    assert describe("api.upstash.com", status, media_type, location) is None
