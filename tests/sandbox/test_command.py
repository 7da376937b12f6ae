"""The sandbox's command line."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.sandbox.callers import OAuthClient, parameters_of, send, unique_email
from tests.support.sandbox import Sandbox, SandboxFailed
from upstash_helper import __version__

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp


async def run(*arguments: str) -> tuple[int | None, str, str]:
    """Run the command until it exits. Return its exit code, standard output, and standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "upstash_helper.sandbox",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_help_describes_every_option() -> None:
    """
    `--help` describes every option and the exit codes.
    """
    code, out, _ = await run("--help")

    assert code == 0
    options = ("--data", "--host", "--port", "--redirect-uri", "--client-id", "--no-pkce", "--rest-tls-port")
    for part in (*options, "one line of JSON", "Exit codes"):
        assert part in out


async def test_version_is_the_package_version() -> None:
    """
    `--version` prints the package's version.
    """
    code, out, _ = await run("--version")

    assert (0, True) == (code, out.strip().endswith(__version__))


async def test_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """
    If the port is in use, one line names the option to change it, and the exit code is 1.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]

        code, out, err = await run("--data", str(tmp_path / "data"), "--port", str(port))

    assert (1, "") == (code, out)
    assert f"port {port}" in err
    assert "--port" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--host", "0.0.0.0"], 1, "loopback"),
        (["--host", "example.com"], 1, "loopback"),
        (["--redirect-uri", "nonsense"], 1, "--redirect-uri"),
        (["--redirect-uri", "http://localhost:3000/#x"], 1, "--redirect-uri"),
        (["--port", "70000"], 2, "--port"),
        (["--nonsense"], 2, "--nonsense"),
    ],
)
async def test_invalid_arguments_are_reported(tmp_path: Path, arguments: list[str], code: int, part: str) -> None:
    """
    The error names the invalid option, without a traceback.
    """
    actual_code, out, err = await run("--data", str(tmp_path / "data"), *arguments)

    assert (code, "") == (actual_code, out)
    assert part in err
    assert "Traceback" not in err


async def test_standard_output_is_one_line_of_json(tmp_path: Path) -> None:
    """
    Standard output has exactly one line, for programs. Messages for people go to standard error.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "upstash_helper.sandbox", "--port", "0", "--data", str(tmp_path / "data")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    process.terminate()
    rest, err = await process.communicate()

    ready = json.loads(line)
    assert {
        "auth_url",
        "api_url",
        "rest_url",
        "rest_tls_url",
        "issuer_url",
        "client_id",
        "redirect_uris",
        "admin_url",
        "admin_token",
        "console_url",
        "data",
    } | {
        "backend",
        "tls_ca",
        "pid",
    } == ready.keys()
    assert (process.pid, b"") == (ready["pid"], rest)
    assert ready["admin_token"] not in err.decode()
    assert psutil.pid_exists(process.pid) is False


async def test_client_and_redirect_uris_are_remembered(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    The client ID and the redirect URIs are kept for later starts, and redirect URIs must match exactly.
    """
    uris = ("http://localhost:3999", "http://localhost:3998/callback?a=b")
    first = Sandbox(tmp_path / "data", redirect_uris=uris, client_id="my app")
    await first.start()
    await first.stop()

    async with Sandbox.running(tmp_path / "data") as sandbox:
        client = OAuthClient(sandbox, session)
        redirect = await sandbox.authorize(client.url(redirect_uri=uris[1]), unique_email(), "correct horse battery")
        unregistered = await send(session, "GET", client.url())

    assert ("my app", list(uris)) == (sandbox.ready.client_id, sandbox.ready.redirect_uris)
    assert redirect.startswith("http://localhost:3998/callback?")
    assert parameters_of(redirect)["a"] == "b"
    assert unregistered.status == 400


async def test_no_pkce_accepts_a_client_that_follows_the_guideline(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """
    With `--no-pkce`, a partner's client needs no PKCE, also after a test has reset the settings.
    """
    async with Sandbox.running(tmp_path / "data", arguments=("--no-pkce",)) as sandbox:
        await sandbox.settings()
        url = OAuthClient(sandbox, session).url(state=None, code_challenge=None, code_challenge_method=None)
        page = await send(session, "GET", url)

    assert page.status == 200


async def test_default_data_folder_is_in_the_helper_home(tmp_path: Path) -> None:
    """
    With `UPSTASH_HELPER_HOME` and without `--data`, the data folder is `sandbox` in it.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "upstash_helper.sandbox", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"UPSTASH_HELPER_HOME": str(tmp_path / "home"), "PATH": ""},
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    process.terminate()
    await process.communicate()

    assert ready["data"] == str(tmp_path / "home" / "sandbox")


async def test_ipv6_loopback_address(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    The sandbox can listen on the IPv6 loopback address.
    """
    if not has_ipv6_loopback():
        pytest.skip("this machine has no ::1")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "upstash_helper.sandbox", "--port", "0", "--host", "::1", "--data", str(tmp_path / "data")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())

    response = await send(session, "GET", f"{ready['auth_url']}/.well-known/openid-configuration")
    issuer = await send(session, "GET", f"{ready['issuer_url']}/.well-known/oauth-authorization-server")
    process.terminate()
    await process.communicate()

    assert ready["auth_url"].startswith("http://[::1]:")
    assert ready["issuer_url"].startswith("http://[::1]:")
    assert response.json["issuer"] == f"{ready['auth_url']}/"
    assert issuer.json["issuer"] == ready["issuer_url"]


def has_ipv6_loopback() -> bool:
    """Return whether a socket can listen on ::1."""
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


async def test_failed_start_raises_its_error_and_leaves_no_process(tmp_path: Path) -> None:
    """
    If the sandbox does not start, `Sandbox.start` raises its error message, and no process is left.
    """
    sandbox = Sandbox(tmp_path / "data", redirect_uris=("nonsense",))

    with pytest.raises(SandboxFailed, match="--redirect-uri") as failure:
        await sandbox.start()

    assert failure.value.returncode == 1
    assert await sandbox.stop() == 1
