"""The settings of proxies and certificates, with a real proxy, and what is said about a proxy that cannot be used."""

from __future__ import annotations

import base64
import functools
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.clock import FakeClock
from tests.support.faulty import answer, faulty
from tests.support.tls_server import connect_proxy
from tests.unit.upstream.test_http_client import failed, request
from upstash_helper.system.proxies import ProxySettings, find_proxy, has_password, without_password
from upstash_helper.system.trust import tls_context
from upstash_helper.upstream.http_client import HttpClient

if TYPE_CHECKING:
    from pathlib import Path

API = "https://api.upstash.test"
PASSWORD = "pass@wo/rd"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies and certificates."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority of a company's proxy."""
    return trustme.CA()


@pytest.fixture
def inside(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS context of a server that is named like the API."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.upstash.test").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """A file with the authority's certificate."""
    file = tmp_path / "company.pem"
    authority.cert_pem.write_to_path(file)
    return file


def client(ca_file: Path | None, **settings: str) -> HttpClient:
    """Return the client of a daemon with these settings."""
    tls = functools.partial(tls_context, ca_file)
    return HttpClient(clock=FakeClock(), tls=tls, proxies=ProxySettings(**settings), retry_seconds=0.001)


async def test_settings_are_used(inside: ssl.SSLContext, ca_file: Path) -> None:
    """
    A daemon without HTTPS_PROXY and SSL_CERT_FILE reaches Upstash with the settings. The proxy gets its password.
    """
    pair = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    async with faulty(answer("through"), tls=inside) as server:
        with connect_proxy(int(server.url.rpartition(":")[2]), authorization=f"Basic {pair}") as (port, asked):
            http = client(ca_file, https_proxy=f"http://ada:pass%40wo%2Frd@127.0.0.1:{port}")
            response = await http.send(request(API))
            await http.close()

    assert b'"through"' == response.body
    assert ["api.upstash.test:443"] == asked


async def test_proxy_that_wants_a_password_is_named(ca_file: Path) -> None:
    """
    The error says which setting, and shows no password.
    """
    with connect_proxy(9, authorization="Basic other") as (port, _):
        http = client(ca_file, https_proxy=f"http://ada:wrong@127.0.0.1:{port}")
        failure = await failed(http, request(API))
        await http.close()

    assert "requires a user and a password. Set them in https_proxy in config.toml" in failure.detail
    assert "wrong" not in failure.detail


async def test_untrusted_certificate_names_the_setting(inside: ssl.SSLContext) -> None:
    """
    Behind a proxy that inspects TLS, the error says what to set.
    """
    async with faulty(tls=inside) as server:
        with connect_proxy(int(server.url.rpartition(":")[2])) as (port, _):
            http = client(None, https_proxy=f"http://127.0.0.1:{port}")
            failure = await failed(http, request(API))
            await http.close()

    assert failure.detail.startswith("This machine does not trust the certificate of api.upstash.test. If a proxy")
    assert "set ca_file in config.toml" in failure.detail


async def test_unreachable_server_names_the_setting() -> None:
    """
    Without a proxy, the error says what to set if the network has one.
    """
    http = client(None)
    failure = await failed(http, request("https://upstash.invalid"))
    await http.close()

    assert "set https_proxy in config.toml, and run: upstash-helper restart" in failure.detail


async def test_unreachable_server_on_this_machine_needs_no_proxy() -> None:
    """
    On the loopback interface, the error names the port and the command that starts a sandbox, and no proxy.
    """
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        http = client(None)
        failure = await failed(http, request(f"http://127.0.0.1:{port}"))
        await http.close()

    assert f"Nothing answers at 127.0.0.1, port {port}, on this machine." in failure.detail
    assert "upstash-helper sandbox up" in failure.detail
    assert "proxy" not in failure.detail


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read: No such file or directory"), (b"no certificate", "has no certificate in PEM format")],
)
async def test_ca_file_that_cannot_be_used_is_an_error(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """
    Nothing is sent then, because the user relies on the file.
    """
    file = tmp_path / "missing.pem"
    if content is not None:
        file.write_bytes(content)
    http = client(file)
    failure = await failed(http, request(API))
    await http.close()

    assert f"The setting ca_file names {file}, which {reason}. Fix it" in failure.detail


async def test_ca_file_is_trusted_besides_the_system(ca_file: Path, tmp_path: Path) -> None:
    """
    The authorities of the system stay trusted, unlike with SSL_CERT_FILE.
    """
    before = {one["serialNumber"] for one in tls_context().get_ca_certs()}
    with_file = {one["serialNumber"] for one in tls_context(ca_file).get_ca_certs()}

    assert before < with_file
    assert 1 == len(with_file - before)


@pytest.mark.parametrize(
    ("pattern", "direct"),
    [
        ("api.upstash.com", True),
        ("upstash.com", True),
        (".upstash.com", True),
        ("*", True),
        ("localhost, UPSTASH.com", True),
        ("stash.com", False),
        ("example.com", False),
        ("api.upstash.com.example", False),
        ("", False),
        (",", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, pattern: str, direct: bool) -> None:  # noqa: FBT001
    """
    A pattern is a name, which includes its subdomains; the setting and the variable have the same form.
    """
    monkeypatch.setenv("https_proxy", "http://environment:1")
    by_setting = find_proxy("https", "api.upstash.com", ProxySettings(no_proxy=pattern))
    monkeypatch.setenv("no_proxy", pattern)
    by_variable = find_proxy("https", "api.upstash.com", ProxySettings(https_proxy="http://setting:1"))

    assert [direct, direct] == [by_setting is None, by_variable is None]


def test_settings_come_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each setting replaces its variable, and an empty no_proxy replaces the variable's list.
    """
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "upstash.com")

    found = find_proxy("https", "api.upstash.com", ProxySettings("proxy.example:3128", ""))

    assert ("http://proxy.example:3128", "The setting https_proxy") == found


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("http://ada:secret@proxy:3128/", "http://…@proxy:3128"),
        ("ada:secret@proxy", "http://…@proxy"),
        ("http://ada:se@cret@proxy", "http://…@proxy"),
        ("http://ada:se/cret@proxy", "http://…@proxy"),
        ("https://[::1]:3128", "https://[::1]:3128"),
    ],
)
def test_password_of_a_proxy_is_not_shown(proxy: str, shown: str) -> None:
    """
    Whatever it contains, the user and the password are left out.
    """
    assert shown == without_password(proxy)
    assert ("…" in shown) == has_password(proxy)
