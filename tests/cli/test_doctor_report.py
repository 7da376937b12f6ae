"""``doctor --report``: it is useful, contains no secret, and overwrites nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import stat
import sys
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.support.command_line import SECONDS, Ran, run_cli
from tests.support.daemon import clean_environment, free_port
from tests.support.sample_app import SampleApp
from upstash_helper.cli.doctor.report import LOG_LINES
from upstash_helper.protocol import discovery, wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox

CLIENT_ID = "q7Zk2mPw9LxT4vBn8cRd"
PROXY_PASSWORD = "proxy-pass-1"


async def run_in(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Ran:
    """Run the command line in a folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "upstash_helper", *arguments,
        cwd=folder, env=dict(environment), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with no unreachable service and no running daemon."""
    home = tmp_path / "home"
    nowhere = {"AUTH_URL": "http://127.0.0.1:1", "API_URL": "http://127.0.0.1:1", "PORT": str(free_port())}
    given = {f"UPSTASH_HELPER_{name}": value for name, value in nowhere.items()}
    return clean_environment() | {"UPSTASH_HELPER_HOME": str(home)} | given


def encodings(secret: str) -> set[str]:
    """Return a secret in every encoding in which it might be found."""
    data = secret.encode()
    return {
        secret,
        quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        base64.b64encode(data).decode().rstrip("="),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        data.hex(),
        json.dumps(secret)[1:-1],
    }


async def test_report_contains_no_secret(
    running: DaemonProcess, sandbox: Sandbox, connected: str, tmp_path: Path
) -> None:
    """
    Keys, tokens, passwords, codes, email addresses, and database hosts are removed, in every encoding, with and without
    a name.
    """
    app = SampleApp.approved(running, origin="https://orders.example.com")
    asks = SampleApp.requesting(running, origin="https://more.example.com")
    new = wire.CreateDatabase(name="secretly", primary_region="eu-west-1")
    database = running.client.create_database(new, idempotency_key=str(uuid.uuid4()))
    credentials = running.client.credentials(database.id)
    started = running.client.connect(open_browser=False, force=True)
    assert isinstance(started, wire.StartedAttempt)
    asked = parse_qs(urlsplit(started.authorization_url).query)
    owner = discovery.read(running.folders.runtime)
    assert owner is not None
    known = {
        "owner token": owner.owner_token,
        "app token": app.pairing["token"],
        "poll secret": asks.pairing["poll_secret"],
        "API key": await sandbox.api_key(connected, "another"),
        "redis URL": credentials.redis_url,
        "password": credentials.password,
        "REST token": credentials.rest_token,
        "read-only token": credentials.read_only_rest_token,
        "user code": asks.code,
        "e-mail": connected,
        "client id": CLIENT_ID,
        "authorization code": "SplxlOBeZQQYbYS6WxSbIA7d2",
        "state of a sign-in that runs": asked["state"][0],
        "code challenge": asked["code_challenge"][0],
        "state": "af0ifjsldkj3Qz9XbT2mWc",
        "basic": base64.b64encode(f"{connected}:a-key".encode()).decode(),
        "database host": "keen-owl-12345.upstash.io",
        "proxy password": PROXY_PASSWORD,
    }
    with running.folders.log_file.open("a", encoding="utf-8") as log:
        for secret in known.values():
            forms = sorted(encodings(secret))
            log.write(json.dumps({"event": "reported", "password": forms}) + "\n")
            log.write(
                json.dumps({"event": "reported", "detail": f"got {' and '.join(forms)} here", "list": forms}) + "\n"
            )
            log.write(f"plain text {' '.join(forms)}\n")
        log.write(f"http://ada:{PROXY_PASSWORD}@proxy.example:3128\nAuthorization: Basic {known['basic']}\n")
    assert len(running.log.splitlines()) < LOG_LINES
    running.environment["UPSTASH_HELPER_CLIENT_ID"] = CLIENT_ID
    running.environment["HTTPS_PROXY"] = f"http://ada:{PROXY_PASSWORD}@127.0.0.1:{free_port()}"
    place = tmp_path / "report.md"

    ran = await run_cli("doctor", "--report", str(place), "--json", environment=running.environment)

    text = place.read_text(encoding="utf-8")
    assert str(place) == ran.json["report"]
    assert text.count("[redacted]") > 100
    found = {name for name, secret in known.items() for form in encodings(secret) if form in text}
    assert set() == found
    assert f"client_id = {CLIENT_ID[:4]}…" in text
    assert f"c***@{connected.partition('@')[2]}" in text
    assert f'"pid": {running.client.status().pid}' in text


async def test_report_has_checks_versions_settings_and_log(bare: dict[str, str], tmp_path: Path) -> None:
    """
    Its sections have the results, versions, settings with their sources, and the end of the log.
    """
    logs = tmp_path / "home" / "log"
    logs.mkdir(parents=True, mode=0o700)
    lines = [
        json.dumps({"time": "2026-11-26T17:26:20.123Z", "event": "ready", "number": number}) for number in range(300)
    ]
    (logs / "upstash-helper.log").write_text("\n".join([*lines, "```", "# no heading \x1b[31m"]) + "\n")

    ran = await run_in(tmp_path, "doctor", "--report", "mine.md", environment=bare)

    text = (tmp_path / "mine.md").read_text(encoding="utf-8")
    assert ["Checks", "Versions", "Settings", "Daemon"] == re.findall(r"^## (.*)$", text, re.MULTILINE)[:4]
    assert "✗ Daemon: not running\n  → Start it with: upstash-helper start" in text
    assert re.search(r"^msgspec \d", text, re.MULTILINE)
    assert 'auth_url = "http://127.0.0.1:1"    (from: UPSTASH_HELPER_AUTH_URL)' in text
    assert '"number":299' in text
    assert '"number":101' not in text
    # Text from a log neither ends the code block, nor becomes a heading, nor colors the terminal.
    assert "````text" in text
    assert "\x1b" not in text
    assert ran.out.splitlines()[1] in text
    assert f"The report is in {tmp_path / 'mine.md'}," in ran.err
    assert "check it before you share it" in ran.err


async def test_default_path_is_in_the_working_directory(bare: dict[str, str], tmp_path: Path) -> None:
    """
    Its name has the time, and only the user can read it.
    """
    folder = tmp_path / "here"
    folder.mkdir()

    ran = await run_in(folder, "doctor", "--report", environment=bare)

    (written,) = folder.iterdir()
    assert re.fullmatch(r"upstash-helper-report-\d{8}-\d{6}\.md", written.name)
    assert str(written) in ran.err
    assert 1 == ran.code  # as without a report: the daemon is not running
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(written.stat().st_mode)


async def test_existing_file_is_overwritten_only_with_force(bare: dict[str, str], tmp_path: Path) -> None:
    """
    An existing file is noticed before any check runs; with --force it is replaced, and becomes private.
    """
    place = tmp_path / "report.md"
    place.write_text("precious")
    place.chmod(0o644)

    refused = await run_cli("doctor", "--report", str(place), environment=bare)
    kept = place.read_text()
    forced = await run_cli("doctor", "--report", str(place), "--force", environment=bare)

    assert (1, "", "precious") == (refused.code, refused.out, kept)
    assert f"{place} already exists" in refused.err
    assert "--force" in refused.err
    assert "✓ Python" in forced.out
    assert place.read_text(encoding="utf-8").startswith("# upstash-helper report")
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(place.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: symbolic links for everybody")
async def test_symbolic_link_is_not_followed(bare: dict[str, str], tmp_path: Path) -> None:
    """
    Even with --force only the link is replaced.
    """
    other = tmp_path / "other"
    other.write_text("precious")
    place = tmp_path / "report.md"
    place.symlink_to(other)

    refused = await run_cli("doctor", "--report", str(place), environment=bare)
    await run_cli("doctor", "--report", str(place), "--force", environment=bare)

    assert 1 == refused.code
    assert "precious" == other.read_text()
    assert not place.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--report", "."), "is a folder"),
        (("--report", "none/report.md"), "does not exist"),
        (("--force",), "--force can only be used with --report"),
    ],
)
async def test_usage_errors_are_reported_before_the_checks(
    bare: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """
    They exit with 2.
    """
    ran = await run_in(tmp_path, "doctor", *arguments, environment=bare)

    assert (2, "") == (ran.code, ran.out)
    assert words in ran.err
    assert "Traceback" not in ran.err


async def test_report_works_with_invalid_settings(bare: dict[str, str], tmp_path: Path) -> None:
    """
    A report is needed most when something is wrong.
    """
    surroundings = bare | {"UPSTASH_HELPER_LOG_LEVEL": "loud"}

    ran = await run_in(tmp_path, "doctor", "--report", "r.md", environment=surroundings)

    assert "The settings are invalid: UPSTASH_HELPER_LOG_LEVEL" in (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "Traceback" not in ran.err
