"""A terminal's proxy and certificates that the running daemon does not have: `status`, `doctor`, and `connect`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.examined import Examined
from tests.support.tls_server import connect_proxy, service
from upstash_helper.cli.doctor import network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNREACHABLE = "https://upstash.invalid"
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies and certificates."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that cannot reach Upstash."""
    with DaemonProcess.running(tmp_path / "home", issuer_url=UNREACHABLE, api_url=UNREACHABLE) as running:
        yield running


async def test_variables_that_the_daemon_lacks_are_named(daemon: DaemonProcess) -> None:
    """Where the user notices that something is wrong, with the line to add, and without the proxy's password."""
    terminal = daemon.environment | {"HTTPS_PROXY": "http://ada:s3cret@proxy.example:3128"}

    status = await run_cli("status", environment=terminal)
    connect = await run_cli("connect", "--no-browser", environment=terminal)
    network = await run_cli("status", "--json", environment=terminal)

    hint = "(with the user and the password in place of …)"
    line = f"{daemon.folders.config_file} {hint}, then run: upstash-helper restart\n    https_proxy = "
    for ran in (status, connect):
        assert "HTTPS_PROXY is set in this terminal, but the daemon does not have it. Add this line to " in ran.err
        assert f'{line}"http://…@proxy.example:3128"' in ran.err
        assert "s3cret" not in ran.out + ran.err
    assert "upstash.invalid was not found. Is this machine online? If this network needs a proxy" in connect.err
    assert {"proxy": None, "proxy_source": None, "no_proxy": None, "ca_file": None} == network.json["network"]


async def test_settings_are_used_and_shown_without_the_password(tmp_path: Path) -> None:
    """The daemon connects through the proxy; nothing prints or logs the password, and nothing is lost any more."""
    home, ca_file = tmp_path / "home", tmp_path / "company.pem"
    (home / "config").mkdir(parents=True)
    with connect_proxy(9, authorization="Basic other") as (port, asked):
        (home / "config" / "config.toml").write_text(f'https_proxy = "http://ada:s3cret@127.0.0.1:{port}"\n')
        with DaemonProcess.running(home, issuer_url=UNREACHABLE, api_url=UNREACHABLE) as daemon:
            variables = {"HTTPS_PROXY": "http://proxy.example:3128", "SSL_CERT_FILE": str(ca_file)}
            terminal = daemon.environment | variables
            refused = await run_cli("connect", "--no-browser", environment=terminal)
            status = await run_cli("status", environment=terminal)
            shown = await run_cli("config", "show", environment=terminal)
            log = daemon.log

    assert "The proxy for upstash.invalid requires a user and a password." in refused.err
    assert {"upstash.invalid:443"} == set(asked)
    assert f"http://…@127.0.0.1:{port} (setting https_proxy)" in status.out
    assert "HTTPS_PROXY is set" not in status.err
    assert "SSL_CERT_FILE is set in this terminal, but the daemon does not have it." in status.err
    assert f'"http://…@127.0.0.1:{port}"' in shown.out
    assert "s3cret" not in log + "".join(one.out + one.err for one in (refused, status, shown))


@pytest.mark.parametrize(
    ("setting", "variable"),
    [({"no_proxy": "*"}, {}), ({}, {"HTTPS_PROXY": "socks5://proxy.example:1080"})],
    ids=["exempt", "not supported"],
)
async def test_daemon_that_has_decided_about_the_proxy_lacks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], variable: dict[str, str]
) -> None:
    """The user has turned the proxy off in the settings, or the daemon has one that it cannot use."""
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with DaemonProcess.running(tmp_path / "home", issuer_url=UNREACHABLE, api_url=UNREACHABLE, **setting) as daemon:
        terminal = daemon.environment | {"HTTPS_PROXY": "http://proxy.example:3128"}
        status = await run_cli("status", environment=terminal)

    assert "HTTPS_PROXY" not in status.err


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no pseudo-terminals of this kind")
async def test_hint_is_colored_and_readable_on_a_terminal(daemon: DaemonProcess) -> None:
    """The codes of the color are not replaced like those in the name of an app."""
    import pty

    mine, its = pty.openpty()
    environment = daemon.environment | {"HTTPS_PROXY": "http://proxy.example:3128", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "upstash_helper", "status", env=environment, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    shown = await asyncio.to_thread(read_to_the_end, mine)
    await process.wait()
    os.close(mine)

    assert "\x1b[33mHTTPS_PROXY is set in this terminal" in shown
    assert "\ufffd" not in shown


def read_to_the_end(terminal: int) -> str:
    """Return what is printed to a terminal, until the program has closed it."""
    printed = b""
    with contextlib.suppress(OSError):  # EIO on Linux
        while data := os.read(terminal, 4096):
            printed += data
    return printed.decode()


# --- doctor -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    """A terminal of the user, whose daemon may be running."""
    return Examined(monkeypatch, tmp_path / "home")


def test_doctor_names_what_the_running_daemon_lacks(
    daemon: DaemonProcess, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fix is on one line, as ``doctor`` prints it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    (found,) = examined.all(network.proxy)

    assert ("warning", "HTTPS_PROXY is set in this terminal, but the daemon does not have it") == (
        found.state,
        found.detail,
    )
    file = daemon.folders.config_file
    assert f'Add this line to {file}: https_proxy = "http://proxy.example:3128" Then run: upstash-helper restart' == (
        found.fix
    )


def test_doctor_shows_what_the_running_daemon_uses(
    tmp_path: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what this terminal would use."""
    proxy = "http://ada:s3cret@proxy.example:3128"
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with DaemonProcess.running(tmp_path / "home", api_url=UNREACHABLE):
        monkeypatch.setenv("HTTPS_PROXY", "http://another.example:3128")
        (found,) = examined.all(network.proxy)

    assert ("ok", "http://…@proxy.example:3128, from HTTPS_PROXY") == (found.state, found.detail)


def test_doctor_names_a_proxy_that_the_running_daemon_cannot_use(
    tmp_path: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are not made directly."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    with DaemonProcess.running(tmp_path / "home", api_url=UNREACHABLE):
        monkeypatch.delenv("HTTPS_PROXY")
        (found,) = examined.all(network.proxy)

    assert ("error", True) == (found.state, found.detail.startswith("HTTPS_PROXY names a proxy that the daemon cannot"))
    assert "https_proxy in config.toml" in found.fix


def test_doctor_connects_as_the_running_daemon_does(tmp_path: Path, examined: Examined) -> None:
    """It was started with flags that this terminal does not have."""
    authority, inside = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("upstash.example").configure_cert(inside)
    ca_file = tmp_path / "company.pem"
    authority.cert_pem.write_to_path(ca_file)
    with service(inside) as far, connect_proxy(far) as (port, asked):
        flags = {"https_proxy": f"http://127.0.0.1:{port}", "ca_file": str(ca_file)}
        url = "https://upstash.example"
        with DaemonProcess.running(tmp_path / "home", api_url=url, auth_url=url, **flags):
            sign_in, tls = [one for one in examined.all(network.sign_in) if "the settings name" not in one.detail]
            clock = examined.worst(network.clock)

    assert f"the proxy 127.0.0.1:{port} for upstash.example is reachable" == sign_in.detail
    assert ["ok"] * 3 == [sign_in.state, tls.state, clock.state]
    assert {"upstash.example:443"} == set(asked)


def test_doctor_does_not_reach_upstash_through_a_proxy_that_the_daemon_lacks(
    tmp_path: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would report as reachable what the daemon does not reach."""
    with (
        connect_proxy(9) as (port, asked),
        DaemonProcess.running(tmp_path / "home", api_url=UNREACHABLE, auth_url=UNREACHABLE),
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        found = examined.worst(network.sign_in)

    assert ("error", True) == (found.state, found.detail.startswith("upstash.invalid cannot be resolved"))
    assert [] == asked
