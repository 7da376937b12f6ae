"""``doctor`` on the way to Upstash: names, addresses, proxies, certificates and clocks, all of them real."""

from __future__ import annotations

import base64
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.daemon import free_port
from tests.support.examined import Examined
from tests.support.tls_server import connect_proxy, service
from upstash_helper.cli.doctor import network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return Examined(monkeypatch, tmp_path / "home")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Such as a company's proxy brings: nobody trusts it who was not told to."""
    return trustme.CA(organization_name="Initech Inspection")


def context_for(authority: trustme.CA, name: str = "localhost", *, until: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    return context


@pytest.fixture
def trusted(examined: Examined, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine trusts it."""
    file = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


# --- reached ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
def test_a_service_that_is_trusted_is_fine(examined: Examined, authority: trustme.CA) -> None:
    """
    What SSL_CERT_FILE says is trusted is trusted, and it is said whose certificate it was.
    """
    with service(context_for(authority)) as port:
        examined.settings(auth_url=f"https://localhost:{port}", api_url=f"https://localhost:{port}")
        sign_in, tls = examined.all(network.sign_in)
        api = examined.all(network.developer_api)

    assert ("Sign-in", "ok", f"localhost:{port} can be reached") == (sign_in.name, sign_in.state, sign_in.detail)
    assert ("TLS", "ok") == (tls.name, tls.state)
    assert tls.detail.startswith("localhost: TLSv1.3, a certificate of Initech Inspection")
    assert ["ok", "ok"] == [one.state for one in api]


def test_a_name_that_does_not_exist_is_an_error(examined: Examined) -> None:
    """
    A name is told from an address that does not answer: RFC 6761 keeps `.invalid` from ever being one.
    """
    examined.settings(auth_url="https://upstash.invalid")

    (found,) = examined.all(network.sign_in)

    assert "error" == found.state
    assert found.detail.startswith("the name upstash.invalid cannot be resolved: ")
    assert "name servers" in found.fix


def test_nobody_there_is_an_error(examined: Examined) -> None:
    """
    An address where nobody listens is named, with the system's reason.
    """
    port = free_port()
    examined.settings(api_url=f"http://127.0.0.1:{port}")

    (found,) = examined.all(network.developer_api)

    assert ("error", f"127.0.0.1:{port} cannot be reached: Connection refused") == (found.state, found.detail)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_who_issued_an_untrusted_certificate_is_named(examined: Examined, authority: trustme.CA) -> None:
    """
    Whoever sits behind a company's proxy reads its name, and how to have it trusted.
    """
    with service(context_for(authority)) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert "error" == found.state
    assert "unable to get local issuer certificate" in found.detail
    assert "It was issued by Initech Inspection" in found.detail
    assert "SSL_CERT_FILE" in found.fix


@pytest.mark.usefixtures("trusted")
def test_an_expired_certificate_makes_one_look_at_the_clock(examined: Examined, authority: trustme.CA) -> None:
    """
    It may be the certificate that is old, or the clock that is wrong.
    """
    with service(context_for(authority, until=datetime.now(UTC) - timedelta(days=1))) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "certificate has expired" in found.detail)
    assert "clock" in found.fix


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_an_error(examined: Examined, authority: trustme.CA) -> None:
    """
    A trusted certificate of another host is no certificate of this one.
    """
    with service(context_for(authority, "other.example")) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "localhost" in found.detail)
    assert "answers in its place" in found.fix


def test_something_without_tls_is_an_error(examined: Examined) -> None:
    """
    A server, or a firewall, that answers in clear.
    """
    with service() as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "no TLS" in found.detail)


# --- the proxy --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
def test_the_way_through_a_proxy_is_tried_to_its_end(
    examined: Examined, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The name is the proxy's to resolve, and the certificate is that of the service; the proxy's password is given to
    the proxy and shown to nobody.
    """
    pair = base64.b64encode(b"ada:pass word").decode()
    with (
        service(context_for(authority, "auth.example")) as far,
        connect_proxy(far, authorization=f"Basic {pair}") as (port, asked),
    ):
        monkeypatch.setenv("https_proxy", f"http://ada:pass%20word@127.0.0.1:{port}")
        examined.settings(auth_url="https://auth.example")
        reached, tls = examined.all(network.sign_in)
        clock = examined.worst(network.clock)

    assert f"the proxy 127.0.0.1:{port} for auth.example can be reached" == reached.detail
    assert ["ok"] * 3 == [reached.state, tls.state, clock.state]
    assert {"auth.example:443"} == set(asked)
    assert "pass" not in "".join(one.detail + one.fix for one in (reached, tls, clock))


def test_a_proxy_that_refuses_is_an_error(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Such as one that wants a password.
    """
    with connect_proxy(free_port(), authorization="Basic other") as (port, _):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        examined.settings(auth_url="https://auth.example")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "407" in found.detail)


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0, "ok", "right within "),
        (30, "ok", "right within "),
        (-30, "ok", "right within "),
        (600, "warning", "10 minutes behind that of 127.0.0.1"),
        (-600, "warning", "10 minutes ahead of that of 127.0.0.1"),
        (-400 * 86_400, "warning", "400 days ahead of"),
    ],
)
def test_the_clock_is_compared_with_the_sign_ins(examined: Examined, seconds: int, state: str, words: str) -> None:
    """
    A clock that is more than a minute off is told in which direction, for certificates and sign-ins suffer from it.
    """
    with service(date=formatdate(time.time() + seconds, usegmt=True)) as port:
        examined.settings(auth_url=f"http://127.0.0.1:{port}")
        (found,) = examined.all(network.clock)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert (state == "ok") == (not found.fix)


def test_the_clock_is_compared_although_the_certificate_is_not_trusted(
    examined: Examined, authority: trustme.CA
) -> None:
    """
    A clock that is wrong is a reason for that: it is found all the same, and nothing is believed but the time.
    """
    with service(context_for(authority), date=formatdate(time.time() + 86_400 * 3, usegmt=True)) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        (found,) = examined.all(network.clock)

    assert ("warning", True) == (found.state, "3 days behind" in found.detail)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_server_that_does_not_tell_the_time_is_said_to(examined: Examined, date: str) -> None:
    """
    That nothing is known is not called right.
    """
    with service(date=date) as port:
        examined.settings(auth_url=f"http://127.0.0.1:{port}")
        (found,) = examined.all(network.clock)

    assert ("warning", True) == (found.state, "does not tell the time" in found.detail)
