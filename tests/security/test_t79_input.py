"""T79: files and input as editors on Windows write them are accepted, and UTF-16 is named."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment
from tests.support.world import PASSWORD
from upstash_helper.settings.config import load_profile
from upstash_helper.settings.profiles import SettingsError
from upstash_helper.storage.credentials.file_store import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import Ran
    from tests.support.sandbox import Sandbox
    from tests.support.world import World

TEXT = 'port = 3917\r\nlog_level = "debug"\r\n'
BOM = b"\xef\xbb\xbf"


def config(tmp_path: Path, content: bytes) -> dict[str, str]:
    """Write the settings file, and return the environment of its user."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_bytes(content)
    return {"UPSTASH_HELPER_HOME": str(tmp_path)}


@pytest.mark.parametrize("content", [BOM + TEXT.encode(), TEXT.encode(), TEXT.replace("\r", "").encode()])
def test_t79_settings_with_bom_and_crlf_are_read(tmp_path: Path, content: bytes) -> None:
    """Notepad writes both."""
    settings = load_profile(environ=config(tmp_path, content)).settings

    assert (3917, "debug") == (settings.port, settings.log_level)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TEXT.encode("utf-16"), "is encoded in UTF-16. Save it as UTF-8."),
        (TEXT.encode("utf-16-le"), "is encoded in UTF-16. Save it as UTF-8."),
        (TEXT.encode("utf-16-be"), "is encoded in UTF-16. Save it as UTF-8."),
        (TEXT.encode("utf-32"), "is encoded in UTF-32. Save it as UTF-8."),
        (
            b"port = 3917\r\n# caf\xe9\r\n",
            "is not in UTF-8: line 2, column 6 has the byte 0xE9. It may be encoded in Latin-1 or Windows-1252.",
        ),
    ],
)  # fmt: skip
async def test_t79_encoding_of_the_settings_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    """Every command and doctor name the file, its encoding, and the line."""
    environ = config(tmp_path, content)
    with pytest.raises(SettingsError) as refused:
        load_profile(environ=environ)
    ran = await run_cli("config", "show", environment=clean_environment() | environ)

    expected = f"{tmp_path / 'config' / 'config.toml'} {reason}"
    assert expected in str(refused.value)
    assert (2, True) == (ran.code, expected in ran.err)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'port = "3000"\n', "setting 'port': must be a whole number from 1 to 65535, not \"3000\"."),
        (b"port = 0\n", "setting 'port': must be a whole number from 1 to 65535, not 0."),
        (b'log_level = "verbse"\n', 'must be one of "debug", "error", "info", "warning", not "verbse".'),
        (b"open_browser = 1\n", "setting 'open_browser': must be true or false, not 1."),
        (b'client_id = "a b"\n', "setting 'client_id': must be one word of ASCII characters, without spaces."),
        (b'client_id = ""\n', "setting 'client_id': must not be empty."),
    ],
)
def test_t79_invalid_setting_is_explained_without_the_decoder(tmp_path: Path, content: bytes, reason: str) -> None:
    """The value and what is allowed are named."""
    with pytest.raises(SettingsError) as refused:
        load_profile(environ=config(tmp_path, content))

    assert reason in str(refused.value)


async def with_input(data: bytes, *arguments: str, environment: dict[str, str]) -> Ran:
    """Run a command with ``data`` as its standard input."""
    from tests.support.command_line import Ran

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "upstash_helper", *arguments, env=environment, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(data)
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def test_t79_api_key_from_a_file_of_windows(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A file with a byte order mark and CRLF is read. UTF-16, which PowerShell writes, is named."""
    email = f"input-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "made-in-the-console")
    urls = {"auth_url": sandbox.auth_url, "api_url": sandbox.api_url, "rest_url": sandbox.rest_url}
    command = ("connect", "--api-key", "--email", email)
    with DaemonProcess.running(tmp_path / "home", port=daemon_port, client_id=sandbox.client_id, **urls) as daemon:
        utf16, latin, read = [
            await with_input(data, *command, environment=daemon.environment)
            for data in (f"{key}\r\n".encode("utf-16"), b"caf\xe9\r\n", BOM + f"{key}\r\n".encode())
        ]
        email_wrong = await with_input(
            key.encode(), "connect", "--api-key", "--email", "ann", environment=daemon.environment
        )

    assert (2, True) == (utf16.code, "The API key on standard input is encoded in UTF-16." in utf16.err)
    assert (2, True) == (latin.code, "is not in UTF-8: line 1, column 4" in latin.err)
    assert (0, True) == (read.code, email in read.out)
    assert (2, 1) == (email_wrong.code, email_wrong.err.count("not an email address: it has no @"))


async def test_t79_json_with_a_bom_is_read_by_the_api(world: World) -> None:
    """Clients that read a file and send it need not remove the mark (RFC 8259, section 8.1)."""
    reply = await world.call(
        "POST", "/v1/pairings", BOM + b'{"name": "Orders", "scopes": ["databases:read"]}', token=None
    )
    utf16 = await world.call("POST", "/v1/pairings", '{"name": "Orders"}'.encode("utf-16"), token=None)

    assert 202 == reply.status, reply.body
    assert (400, "The body is not valid JSON. It is encoded in UTF-16 instead of UTF-8.") == (
        utf16.status,
        utf16.json["detail"],
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: storing it was interrupted. Connect again to replace it."),
        (b" \r\n", "is empty: storing it was interrupted"),
        (b"{", "is damaged, or another program wrote it. Connect again to replace it."),
        ('{"version": 1}'.encode("utf-16"), "is encoded in UTF-16. Save it as UTF-8, or connect again."),
        (None, None),
        ("folder", "is a folder, not a file. Move it away"),
    ],
)
async def test_t79_credential_file_has_one_text_for_each_cause(
    tmp_path: Path, content: bytes | str | None, reason: str | None
) -> None:
    """An empty file, a damaged one, one that an editor has changed, and a missing one differ."""
    from upstash_helper.broker.errors import StoreUnavailable

    file = tmp_path / "credential.json"
    if isinstance(content, bytes):
        file.touch(mode=0o600)
        file.write_bytes(content)
    elif content is not None:
        file.mkdir()
    store = FileStore(file)
    if reason is None:
        assert await store.load() is None
        return
    with pytest.raises(StoreUnavailable) as refused:
        await store.load()

    assert reason in refused.value.detail


async def test_t79_credential_file_with_a_bom_is_read(tmp_path: Path) -> None:
    """A user may have opened it in an editor."""
    from upstash_helper.broker.models import Credential, Secret

    credential = Credential(email="ann@example.com", api_key=Secret("key"), method="api_key", since=1.0)
    file = tmp_path / "credential.json"
    await FileStore(file).save(credential)
    file.write_bytes(BOM + file.read_bytes() + b"\r\n")

    loaded = await FileStore(file).load()

    assert loaded is not None
    assert "ann@example.com" == loaded.email
