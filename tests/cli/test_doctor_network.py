"""``doctor`` on the connection to Upstash: real names, addresses, proxies, certificates, and clocks."""

from __future__ import annotations

import base64
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.daemon import free_port
from tests.support.examined import Examined
from tests.support.tls_server import connect_proxy, service
from upstash_helper.cli.doctor import network
from upstash_helper.service import managed_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return Examined(monkeypatch, tmp_path / "home")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority, such as that of a company's proxy, which is not trusted by default."""
    return trustme.CA(organization_name="Initech Inspection")


def context_for(authority: trustme.CA, name: str = "localhost", *, until: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    return context


@pytest.fixture
def trusted(examined: Examined, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that trusts it."""
    file = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


# --- reached ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
def test_trusted_service_is_ok(examined: Examined, authority: trustme.CA) -> None:
    """
    SSL_CERT_FILE is honored, and the issuer is shown.
    """
    with service(context_for(authority)) as port:
        examined.settings(auth_url=f"https://localhost:{port}", api_url=f"https://localhost:{port}")
        sign_in, tls = examined.all(network.sign_in)
        api = examined.all(network.developer_api)

    assert ("Sign-in", "ok", f"localhost:{port} is reachable") == (sign_in.name, sign_in.state, sign_in.detail)
    assert ("TLS", "ok") == (tls.name, tls.state)
    assert tls.detail.startswith("localhost: TLSv1.3, certificate issued by Initech Inspection")
    assert ["ok", "ok"] == [one.state for one in api]


def test_unresolvable_name_is_an_error(examined: Examined) -> None:
    """
    It is distinguished from an unreachable address. RFC 6761 reserves `.invalid`.
    """
    examined.settings(auth_url="https://upstash.invalid")

    (found,) = examined.all(network.sign_in)

    assert "error" == found.state
    assert found.detail.startswith("upstash.invalid cannot be resolved: ")
    assert "DNS settings" in found.fix


def test_refused_connection_is_an_error(examined: Examined) -> None:
    """
    The address is named, with the system's reason.
    """
    port = free_port()
    examined.settings(api_url=f"http://127.0.0.1:{port}")

    (found,) = examined.all(network.developer_api)

    assert ("error", f"127.0.0.1:{port} is not reachable: Connection refused") == (found.state, found.detail)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_untrusted_issuer_is_named(examined: Examined, authority: trustme.CA) -> None:
    """
    A user behind a company's proxy sees its name, and how to trust it.
    """
    with service(context_for(authority)) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert "error" == found.state
    assert "unable to get local issuer certificate" in found.detail
    assert "It was issued by Initech Inspection" in found.detail
    assert "ca_file" in found.fix


@pytest.mark.usefixtures("trusted")
def test_expired_certificate_suggests_checking_the_clock(examined: Examined, authority: trustme.CA) -> None:
    """
    Either the certificate is old, or the clock is wrong.
    """
    with service(context_for(authority, until=datetime.now(UTC) - timedelta(days=1))) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "certificate has expired" in found.detail)
    assert "clock" in found.fix


@pytest.mark.usefixtures("trusted")
def test_certificate_for_another_host_is_an_error(examined: Examined, authority: trustme.CA) -> None:
    """
    A trusted certificate for another host is not valid for this one.
    """
    with service(context_for(authority, "other.example")) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "localhost" in found.detail)
    assert "responds in its place" in found.fix


def test_server_without_tls_is_an_error(examined: Examined) -> None:
    """
    Such as a server or firewall that answers in plaintext.
    """
    with service() as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "TLS failed" in found.detail)


# --- the proxy --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
def test_route_through_a_proxy_is_checked_to_the_service(
    examined: Examined, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The proxy resolves the name, and the certificate is the service's. The proxy's password goes to the proxy only.
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

    assert f"the proxy 127.0.0.1:{port} for auth.example is reachable" == reached.detail
    assert ["ok"] * 3 == [reached.state, tls.state, clock.state]
    assert {"auth.example:443"} == set(asked)
    assert "pass" not in "".join(one.detail + one.fix for one in (reached, tls, clock))


def test_proxy_that_refuses_is_an_error(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Such as one that requires a password.
    """
    with connect_proxy(free_port(), authorization="Basic other") as (port, _):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        examined.settings(auth_url="https://auth.example")
        found = examined.worst(network.sign_in, "TLS")

    assert ("error", True) == (found.state, "407" in found.detail)


def test_no_proxy_is_ok(examined: Examined) -> None:
    """
    Most networks have none.
    """
    (found,) = examined.all(network.proxy)

    assert ("Proxy", "ok", "none: connections are made directly") == (found.name, found.state, found.detail)


def test_proxy_and_certificates_are_named_with_their_source(
    examined: Examined, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Without a running daemon, those that it would use. A password is not shown.
    """
    ca_file = tmp_path / "company.pem"
    authority.cert_pem.write_to_path(ca_file)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    (of_environment,) = examined.all(network.proxy)
    examined.settings(https_proxy="http://ada:s3cret@proxy.example:8080", ca_file=ca_file)
    (of_settings,) = examined.all(network.proxy)

    assert "http://proxy.example:3128, from HTTPS_PROXY" == of_environment.detail
    shown = "http://…@proxy.example:8080, from the setting https_proxy"
    assert f"{shown}; certificates: {ca_file}" == of_settings.detail
    assert ["ok", "ok"] == [of_environment.state, of_settings.state]


def test_proxy_that_is_not_supported_is_reported_once(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By the checks of what it is for.
    """
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")

    (found,) = examined.all(network.developer_api)

    assert ("error", True) == (found.state, found.detail.startswith("HTTPS_PROXY names a SOCKS proxy"))
    assert [] == examined.all(network.proxy)


def test_missing_file_of_certificates_is_an_error(examined: Examined, tmp_path: Path) -> None:
    """
    Its user relies on it, so nothing is contacted.
    """
    examined.settings(ca_file=tmp_path / "missing.pem")

    (found,) = examined.all(network.proxy)

    assert "error" == found.state
    assert found.detail.startswith(f"The setting ca_file names {tmp_path / 'missing.pem'}, which cannot be read: ")


@pytest.mark.skipif(sys.platform != "linux", reason="platform: the folder of systemd's units")
def test_variable_that_an_installed_service_lacks_is_named(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    While no daemon is running. Without a service, the daemon gets the terminal's variables.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    (without_service,) = examined.all(network.proxy)
    unit = tmp_path / "config" / "systemd" / "user" / "upstash-helper.service"
    unit.parent.mkdir(parents=True)
    home_id = managed_files.home_id(examined.home)
    unit.write_text(managed_files.with_marker("[Unit]\n", extension="service", home_id=home_id))

    (found,) = examined.all(network.proxy)

    assert "ok" == without_service.state
    detail = "HTTPS_PROXY is set in this terminal, but not for the installed service"
    assert ("warning", detail) == (found.state, found.detail)
    assert 'https_proxy = "http://proxy.example:3128" Then run: upstash-helper restart' in found.fix


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0, "ok", "agrees with 127.0.0.1 within "),
        (30, "ok", "agrees with 127.0.0.1 within "),
        (-30, "ok", "agrees with 127.0.0.1 within "),
        (600, "warning", "10 minutes behind 127.0.0.1"),
        (-600, "warning", "10 minutes ahead of 127.0.0.1"),
        (-400 * 86_400, "warning", "400 days ahead of"),
    ],
)
def test_clock_is_compared_with_the_authorization_server(
    examined: Examined, seconds: int, state: str, words: str
) -> None:
    """
    A clock that is off by more than a minute is a warning, with the direction.
    """
    with service(date=formatdate(time.time() + seconds, usegmt=True)) as port:
        examined.settings(auth_url=f"http://127.0.0.1:{port}")
        (found,) = examined.all(network.clock)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert (state == "ok") == (not found.fix)


@pytest.mark.parametrize(
    ("platform", "fix"),
    [
        ("linux", "timedatectl set-ntp true"),
        ("darwin", "System Settings > General > Date & Time"),
        ("win32", "w32tm /resync"),
        ("freebsd14", "with network time."),
    ],
)
def test_wrong_clock_is_corrected_with_the_systems_own_means(examined: Examined, platform: str, fix: str) -> None:
    """
    Each system has its own way to synchronize the clock.
    """
    with service(date=formatdate(time.time() + 600, usegmt=True)) as port:
        examined.settings(auth_url=f"http://127.0.0.1:{port}")
        (found,) = examined.all(partial(network.clock, platform=platform))

    assert fix in found.fix


def test_clock_is_compared_without_a_trusted_certificate(examined: Examined, authority: trustme.CA) -> None:
    """
    A wrong clock is a reason for that, and only the time is used.
    """
    with service(context_for(authority), date=formatdate(time.time() + 86_400 * 3, usegmt=True)) as port:
        examined.settings(auth_url=f"https://localhost:{port}")
        (found,) = examined.all(network.clock)

    assert ("warning", True) == (found.state, "3 days behind" in found.detail)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_missing_date_header_is_a_warning(examined: Examined, date: str) -> None:
    """
    An unknown skew is not reported as correct.
    """
    with service(date=date) as port:
        examined.settings(auth_url=f"http://127.0.0.1:{port}")
        (found,) = examined.all(network.clock)

    assert ("warning", True) == (found.state, "sends no date" in found.detail)
