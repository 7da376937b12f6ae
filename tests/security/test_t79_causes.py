"""T79: each cause has a text of its own, in the API, in the command line, in the sandbox, and in doctor."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from tests.sandbox.callers import Caller
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, free_port
from tests.support.examined import Examined
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from upstash_helper.cli.doctor import desktop, network
from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import DiscoveryRefused
from upstash_helper.sandbox.errors import StartupError
from upstash_helper.sandbox.store import open_store
from upstash_helper.settings.config import read_toml
from upstash_helper.settings.profiles import SettingsError
from upstash_helper.system.keyring_errors import UntrustedKeyring
from upstash_helper.system.keyrings import TRUSTED, candidates
from upstash_helper.system.proxies import UnsupportedProxy, find_proxy, ignored_socks_proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import World

NEW = {"database_name": "a", "platform": "aws", "primary_region": "eu-west-1"}
DECODER = re.compile(r"`|\$\.|Expected|regex|enum|Object |byte \d")


# --- what was sent ----------------------------------------------------------------------------------------------------


async def test_t79_api_reports_every_invalid_field(world: World) -> None:
    """Each error has a JSON pointer and says what is allowed."""
    body = {"name": "a/b", "primary_region": "EU", "plan": "fre", "budget": "5", "nmae": 1}

    reply = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "k"})

    assert 422 == reply.status
    assert {
        "/name": "Must be letters, digits, spaces, and _ . : @ + -.",
        "/primary_region": "Must be the ID of a region, such as us-east-1, in lower case.",
        "/budget": 'Must be a whole number from 0 to 1000000, not "5".',
        "/nmae": 'Is not a known field. Did you mean "name"?',
    }.items() <= {one["pointer"]: one["detail"] for one in reply.json["errors"]}.items()
    assert 'Did you mean "free"?' in reply.body.decode().replace("\\", "")
    assert not DECODER.search(reply.body.decode())


@pytest.mark.parametrize("body", [b"", b"{", b'{"name" 1}', b"[1]", b"nul", b'{"a":1,"a":2}', b"\xff"])
async def test_t79_body_that_cannot_be_read_is_explained(world: World, body: bytes) -> None:
    """Every route with a body answers in the same words."""
    for path in ("/v1/databases", "/v1/pairings", "/v1/connection"):
        reply = await world.call("POST", path, body, headers={"Idempotency-Key": "k"})

        assert reply.status in {200, 201, 202, 400, 409, 422, 429}, reply.body
        assert not DECODER.search(reply.body.decode())


async def test_t79_misspelled_region_is_recognized(world: World) -> None:
    """Upstash decides which regions there are. When it refuses one that is not known, the closest one is named."""
    await world.connect()

    wanted: tuple[dict[str, Any], ...] = (
        {"primary_region": "eu-wst-1"},
        {"primary_region": "eu-west-1", "read_regions": ["us-east-11"]},
    )
    for regions, meant in zip(wanted, ("eu-west-1", "us-east-1"), strict=True):
        headers = {"Idempotency-Key": meant}
        reply = await world.call("POST", "/v1/databases", {"name": "orders", **regions}, headers=headers)
        assert (422, "upstream_rejected") == (reply.status, reply.json["code"])
        assert f'is not known. Did you mean "{meant}"?' in reply.json["detail"]
        assert not DECODER.search(reply.json["detail"])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("database", {**NEW, "primary_region": "eu-wst-1"}, "primary_region: Must be one of "),
        ("database", {**NEW, "database_name": "x" * 65}, "at most 64 characters"),
        ("database", {"platform": "aws"}, "primary_region: Is required."),
        ("database", b"{", "it is not JSON. It ends too early"),
        ("database", b"", "it is not JSON. It is empty."),
    ],
)  # fmt: skip
async def test_t79_sandbox_explains_what_is_wrong(sandbox: Sandbox, path: str, body: Any, words: str) -> None:
    """The sandbox answers in Upstash's format, in words."""
    async with aiohttp.ClientSession() as session:
        caller = await Caller.new(sandbox, session)
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        url, auth = f"{sandbox.api_url}/v2/redis/{path}", aiohttp.encode_basic_auth(caller.email, caller.api_key)
        async with session.post(url, data=data, headers={"Authorization": auth}) as response:
            error = (await response.json())["error"]

    assert (400, True) == (response.status, words in error), error
    assert not DECODER.search(error)


async def test_t79_admin_endpoints_of_the_sandbox_explain_what_is_wrong(sandbox: Sandbox) -> None:
    """A test that sets a wrong option reads why."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.ready.admin_token}"}) as session:
        answers = []
        for name, body in (
            ("settings", {"code_lifetime": "x"}), ("settings", {"redirect": 1}), ("faults", {"status": 5}),
            ("faults", {"listner": "api"}), ("accounts", {"email": 1}),
        ):  # fmt: skip
            async with session.post(f"{sandbox.ready.admin_url}/{name}", json=body) as response:
                answers.append((response.status, (await response.json())["error"]))

    assert {400} == {status for status, _ in answers}
    assert not [text for _, text in answers if DECODER.search(text)]
    assert 'listner: Is not a known field. Did you mean "listener"?' in answers[3][1]


# --- the pass-through -------------------------------------------------------------------------------------------------


async def test_t79_refusals_of_the_pass_through_have_upstashs_error_member(world: World) -> None:
    """Upstash's own clients show that member. Elsewhere there is none."""
    app = await world.pair("upstash:read")
    app_call = [
        await world.as_app(app, "POST", "/upstash/v2/redis/database", {}),
        await world.as_app(app, "GET", "/upstash/v2/redis/databases"),
        await world.call("GET", "/upstash/v2/redis/databases", token=None),
        await world.call("GET", "/upstash/v2/redis/databases", token="unknown"),
    ]
    elsewhere = await world.call("GET", "/v1/databases", token=None)

    for reply in app_call:
        assert reply.status >= 400
        assert reply.json["error"] == reply.json["detail"]
        assert "application/problem+json" == reply.headers["Content-Type"]
    assert "error" not in elsewhere.json


# --- the discovery file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: the disk was full, or the machine lost power"),
        (b"{}", "is damaged, or another program wrote it"),
    ],
)
async def test_t79_discovery_file_has_one_text_for_each_cause(tmp_path: Path, content: bytes, words: str) -> None:
    """The command in the message works: it ends the daemon whose file cannot be read, and starts a new one."""
    with DaemonProcess.running(tmp_path / "home") as daemon:
        file = discovery.discovery_file(daemon.folders.runtime)
        file.write_bytes(content)
        ran = await run_cli("status", environment=daemon.environment)
        stopped = await run_cli("stop", environment=daemon.environment)
        ended = daemon.wait()

    assert (1, True) == (ran.code, f"{file} {words}" in ran.err)
    assert "upstash-helper restart" in ran.err
    assert (0, 0) == (stopped.code, ended), stopped.err


@pytest.mark.parametrize(
    "address",
    ["http://example.com", "http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1", "", "file:///etc"],
)
def test_t79_discovery_file_with_another_address_is_damaged(tmp_path: Path, address: str) -> None:
    """Nothing is sent there, and the message is not that of a URL parser."""
    found = discovery.Discovery(
        pid=1, port=1, base_url=address, owner_token="t", version="0", api_version=discovery.API_VERSION
    )
    discovery.write(tmp_path, found)

    for read in (discovery.read, discovery.read_address):
        with pytest.raises(DiscoveryRefused, match="is damaged, or another program wrote it"):
            read(tmp_path)


# --- the keyring ------------------------------------------------------------------------------------------------------


async def test_t79_secret_service_without_a_collection_has_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store, the command line, and doctor say that there is no keyring yet, and how to create one."""
    skip_unless_there_is_one()
    examined = Examined(monkeypatch, tmp_path / "home")
    # Nobody answers the window that asks for a new password.
    with closing_keyring(PrivateKeyring(activatable=True, prompts="unanswered"), monkeypatch) as session:
        from upstash_helper.broker.errors import StoreUnavailable
        from upstash_helper.broker.models import Credential, Secret
        from upstash_helper.storage.credentials.keyring_store import KeyringStore

        reading = KeyringStore("upstash-helper", "default", deadline=20.0)
        before = await reading.load(), reading.health()
        (found,) = examined.all(desktop.keyring)  # it starts no keyring
        store = KeyringStore("upstash-helper", "default", deadline=1.5)
        with pytest.raises(StoreUnavailable, match=r"no keyring \(Secret Service\) yet") as refused:
            await store.save(Credential(email="a@b.c", api_key=Secret("k"), method="api_key", since=1.0))
        asked = session.prompts

    assert ("error", "not created yet") == (found.state, found.detail)
    assert found.fix.startswith("There is no keyring (Secret Service) yet")
    assert "Create one with your desktop's password manager" in found.fix
    assert "A window on the desktop asks for the password of a new one" in refused.value.detail
    assert ("unavailable", 1) == (store.health().state, asked)
    assert (None, "unknown") == (before[0], before[1].state)
    assert "There is no keyring (Secret Service) yet" in before[1].detail


def closing_keyring(session: PrivateKeyring, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a context manager for a session whose Secret Service has no collection."""
    import contextlib

    @contextlib.contextmanager
    def running() -> Any:
        session.enter(monkeypatch)
        session.start(keyring=False)
        try:
            yield session
        finally:
            session.stop()

    return running()


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="platform: these have one keyring")
@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (None, "there is no session bus"),
        ("nonsense", "the session bus does not respond"),
        ("unix:path=/nonexistent", "the session bus does not respond"),
        ("tcp:host=127.0.0.1,port=1", "the session bus does not respond"),
    ],
)
def test_t79_missing_session_bus_is_explained_in_our_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, reason: str
) -> None:
    """Not in those of a library that cannot parse the address, and without the names of Python's errors."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    for folder in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(folder, str(tmp_path))
    if address is not None:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    examined = Examined(monkeypatch, tmp_path / "home")

    (keyring,) = examined.all(desktop.keyring)
    (bus,) = examined.all(desktop.session_bus)

    assert f"Secret Service: {reason}" in keyring.detail
    assert {"error", "warning"} == {keyring.state, bus.state}
    for text in (keyring.detail, bus.detail):
        assert not re.search(r"Error|Errno|unpack|Environment variable|python-dbus|SecretService", text), text


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("a = {s3cret = 1, s3cret = 2}", "see line 1, column 28"),
        ("port = 1\ns3cret = \n", "see line 2, column 10"),
        ("port = ", "see its end"),
        ("port = " + "1" * 5000, "it has a number with too many digits"),
    ],
)
def test_t79_settings_that_are_no_toml_are_explained_by_their_place(tmp_path: Path, content: str, place: str) -> None:
    """The parser's text is not shown: it may quote a key."""
    file = tmp_path / "config.toml"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError) as refused:
        read_toml(file)

    assert f"{file}: not valid TOML: {place}. Fix it, or move the file away." == str(refused.value)


@pytest.mark.parametrize(
    ("content", "place"), [("s3cret", ": see line 1"), ("[a]\ns3cret", ": see line 2"), ("[a]\n[a]", ": see line 2")]
)
def test_t79_settings_of_the_keyring_library_are_explained_by_their_place(
    tmp_path: Path, content: str, place: str
) -> None:
    """Neither the parser's text nor the name of its error is shown."""
    config = tmp_path / "keyringrc.cfg"
    config.write_text(content, encoding="utf-8")

    with pytest.raises(UntrustedKeyring) as refused:
        candidates(trusted=TRUSTED, environ={}, config=config)

    assert f"{config} cannot be read{place}. Fix it or remove it." == str(refused.value)


# --- the sandbox's store ----------------------------------------------------------------------------------------------


def test_t79_store_that_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    """SQLite's name of the problem can be looked up; its message is not shown."""
    with pytest.raises(StartupError) as failed:
        open_store(tmp_path)
    (tmp_path / "damaged").write_bytes(b"x" * 4096)
    with pytest.raises(StartupError) as damaged:
        open_store(tmp_path / "damaged")

    expected = f"Cannot use {tmp_path} (SQLite reports SQLITE_CANTOPEN). Check its owner and mode, and the disk."
    assert expected == str(failed.value)
    assert f"{tmp_path / 'damaged'} is damaged. Delete or rename it to start with an empty sandbox." == str(
        damaged.value
    )


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
def test_t79_socks_proxy_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    """Doctor and the daemon say that it is not supported, instead of ignoring it or reporting that Upstash is down."""
    from yarl import URL

    from upstash_helper.upstream.http_client import proxy_for
    from upstash_helper.upstream.request import TransportFailed

    examined = Examined(monkeypatch, tmp_path)
    monkeypatch.setenv(name, f"{scheme}://user:s3cret@127.0.0.1:1080")
    with pytest.raises(UnsupportedProxy) as refused:
        find_proxy("https", "api.upstash.com")
    with pytest.raises(TransportFailed) as failed:
        proxy_for(URL("https://api.upstash.com"))
    found = examined.worst(network.sign_in)

    for text in (str(refused.value), failed.value.detail, found.detail):
        assert f"{name} names a SOCKS proxy, which is not supported." in text
        assert "s3cret" not in text
    assert ("network", "connecting", "error") == (failed.value.kind, failed.value.stage, found.state)


INVALID_PROXIES = (
    "https://[::1",
    "http://a b:c",
    "http://127.0.0.1:99999",
    "127.0.0.1:abc",
    "http://:9",
    "http://",
    "//x:9",
)


@pytest.mark.parametrize("value", INVALID_PROXIES)
def test_t79_proxy_that_is_no_address_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Doctor's own check does not fail on it, and the daemon does not report a bug."""
    from yarl import URL

    from upstash_helper.upstream.http_client import proxy_for
    from upstash_helper.upstream.request import TransportFailed

    examined = Examined(monkeypatch, tmp_path)
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(TransportFailed) as failed:
        proxy_for(URL("https://api.upstash.com"))
    found = examined.worst(network.sign_in)

    for text in (failed.value.detail, found.detail):
        assert text.startswith("HTTPS_PROXY is not the address of a proxy, such as http://proxy.example.com:8080.")


@pytest.mark.parametrize("value", [" socks5://127.0.0.1:1080", "SOCKS5:127.0.0.1:1080", "socks4a://x"])
def test_t79_socks_proxy_is_recognized_in_every_spelling(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Without slashes, it would be read as the host of an HTTP proxy."""
    monkeypatch.setenv("https_proxy", value)
    monkeypatch.delenv("no_proxy", raising=False)

    with pytest.raises(UnsupportedProxy, match=r"^https_proxy names a SOCKS proxy, which is not supported\."):
        find_proxy("https", "api.upstash.com")
    assert ignored_socks_proxy({"ALL_PROXY": value}) is not None


def test_t79_socks_proxy_for_all_protocols_is_not_used_silently() -> None:
    """Connections are direct, as before, and messages about the network say so."""
    ignored = {"ALL_PROXY": "socks5://127.0.0.1:1080"}

    assert "ALL_PROXY names a SOCKS proxy, which is not supported" in (ignored_socks_proxy(ignored) or "")
    assert ignored_socks_proxy(ignored | {"https_proxy": "http://127.0.0.1:3128"}) is None
    assert ignored_socks_proxy({"all_proxy": "http://127.0.0.1:3128"}) is None


def test_t79_doctor_checks_the_addresses_that_the_daemon_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon may have been started with flags. doctor checks its addresses, and says which they are."""
    examined = Examined(monkeypatch, tmp_path / "home")
    used = f"http://127.0.0.1:{free_port()}"
    with DaemonProcess.running(tmp_path / "home", auth_url=used, api_url=used):
        results = [*examined.all(network.sign_in), *examined.all(network.developer_api)]

    assert ["warning", "error"] * 2 == [one.state for one in results]
    assert f"the running daemon uses {used}, which is checked here" in results[0].detail
    assert all(used.removeprefix("http://") in one.detail for one in results)
