"""T44: whatever the keyring does, the daemon keeps running, reports the problem, and writes nothing in plaintext."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.clock import FakeClock
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.keyring_store import MAX_RECORD_UNITS, PROMPT_PAUSE, KeyringStore
from upstash_helper.storage.credentials.record import encode
from upstash_helper.system.keyrings import TRUSTED

API_KEY = "0f7a5c1e-made-up-key-9d2b"
CREDENTIAL = Credential(email="ada@example.com", api_key=Secret(API_KEY), method="oauth", since=1_790_000_000.0)
OTHER = msgspec.structs.replace(CREDENTIAL, api_key=Secret("another-key"))

Use = Callable[[KeyringStore], Awaitable[object]]

every_call = pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda store: store.load(), id="load"),
        pytest.param(lambda store: store.save(CREDENTIAL), id="save"),
        pytest.param(lambda store: store.delete(), id="delete"),
    ],
)


@pytest.fixture(name="session")
def _session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    """Give this process a session bus without a keyring."""
    skip_unless_there_is_one()
    session = PrivateKeyring()
    session.enter(monkeypatch)
    session.start(keyring=False)
    yield session
    session.stop()


@pytest.fixture(name="keyring")
def _keyring(session: PrivateKeyring) -> PrivateKeyring:
    session.start_keyring()
    return session


def a_store(*, deadline: float = 5.0) -> KeyringStore:
    """Return the daemon's credential store, in this process's session."""
    return KeyringStore("upstash-helper", "default", deadline=deadline)


async def hung_call_ended() -> None:
    """Wait until the keyring's thread has ended."""
    for thread in threading.enumerate():
        if thread.name == "keyring":
            await asyncio.to_thread(thread.join, 20)
            assert not thread.is_alive()


async def worst_lag(call: Awaitable[object]) -> float:
    """Return the longest delay of the event loop during ``call``, in seconds."""
    task, worst, step = asyncio.ensure_future(call), 0.0, 0.005
    while not task.done():
        before = time.monotonic()
        await asyncio.wait((task,), timeout=step)
        worst = max(worst, time.monotonic() - before - step)
    task.exception()
    return worst


# --- no keyring -------------------------------------------------------------------------------------------------------


@every_call
async def test_t44_session_without_a_keyring_is_unavailable(session: PrivateKeyring, use: Use) -> None:
    """Without a keyring, every call reports that, and suggests how to do without one."""
    store = a_store()

    with pytest.raises(StoreUnavailable, match=r'no program provides it.*credential_store = "file"'):
        await use(store)

    assert ("Secret Service", "unavailable") == (store.health().kind, store.health().state)
    assert 'credential_store = "file"' in store.health().detail


@every_call
async def test_t44_machine_without_a_session_bus_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, use: Use
) -> None:
    """A server without a desktop session is distinguished from a locked keyring."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    for folder in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(folder, str(tmp_path))

    with pytest.raises(StoreUnavailable, match="No keyring is available"):
        await use(a_store())


async def test_t44_keyring_that_starts_later_is_found(session: PrivateKeyring) -> None:
    """The daemon may start before the desktop. Once there is a keyring, it is used."""
    store = a_store()
    with pytest.raises(StoreUnavailable):
        await store.load()

    session.start_keyring()
    await store.save(CREDENTIAL)

    assert CREDENTIAL == await store.load()


async def test_t44_session_bus_is_found_without_its_variable(
    keyring: PrivateKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon started by cron or over SSH uses the keyring of the user's session."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    store = a_store()

    await store.save(CREDENTIAL)

    assert CREDENTIAL == await store.load()


# --- untrusted keyrings -----------------------------------------------------------------------------------------------

PLAINTEXT = """
from pathlib import Path
from keyring.backend import KeyringBackend

Path({marker!r}).write_text("imported")

class PlaintextKeyring(KeyringBackend):
    priority = 9

    def get_password(self, service, username):
        return None

    def set_password(self, service, username, password):
        Path({marker!r}).write_text(password)
"""


@pytest.mark.parametrize(
    "name",
    ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "plaintext_for_t44.PlaintextKeyring"],
)
@pytest.mark.parametrize("how", ["variable", "file"])
async def test_t44_untrusted_keyring_is_rejected(
    keyring: PrivateKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, how: str
) -> None:
    """
    A keyring backend that stores nothing, or stores plaintext, is neither used nor loaded, however it was selected.
    """
    marker = tmp_path / "marker"
    (tmp_path / "plaintext_for_t44.py").write_text(PLAINTEXT.format(marker=str(marker)))
    monkeypatch.syspath_prepend(tmp_path)
    if how == "variable":
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    else:
        folder = keyring.home / ".config" / "python_keyring"
        folder.mkdir(parents=True)
        (folder / "keyringrc.cfg").write_text(f"[backend]\ndefault-keyring={name}\nkeyring-path={tmp_path}\n")

    with pytest.raises(StoreUnavailable, match=f"names the keyring {name}"):
        await a_store().save(CREDENTIAL)

    assert not marker.exists()


async def test_t44_installed_plaintext_keyring_is_not_selected(
    session: PrivateKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package that registers a keyring backend, like keyrings.alt, is not used for lack of a better one."""
    marker = tmp_path / "marker"
    (tmp_path / "plaintext_for_t44.py").write_text(PLAINTEXT.format(marker=str(marker)))
    metadata = tmp_path / "plaintext_for_t44-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plaintext-for-t44\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[keyring.backends]\nplain = plaintext_for_t44\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(StoreUnavailable, match="No keyring is available"):
        await a_store().save(CREDENTIAL)

    assert not marker.exists()


async def test_t44_keyring_that_stores_nothing_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is read back after writing: a keyring that accepts it without storing it is an error."""
    null = "keyring.backends.null.Keyring"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", null)
    store = KeyringStore("upstash-helper", "default", trusted={**TRUSTED, null: "null keyring"})

    with pytest.raises(StoreUnavailable, match=r"\(null keyring\) did not return what was stored in it"):
        await store.save(CREDENTIAL)

    assert "unavailable" == store.health().state


# --- locked keyrings --------------------------------------------------------------------------------------------------


@every_call
async def test_t44_locked_keyring_is_reported_as_locked(keyring: PrivateKeyring, use: Use) -> None:
    """If no one can be prompted, or the user declines, the keyring is reported as locked."""
    store = a_store()
    await store.save(CREDENTIAL)
    keyring.lock()

    with pytest.raises(StoreLocked, match="Unlock it"):
        await use(store)

    assert "locked" == store.health().state


async def test_t44_locked_keyring_keeps_its_entries(keyring: PrivateKeyring) -> None:
    """
    A call that failed because the keyring was locked changed nothing. Once it is unlocked, the next call succeeds.
    """
    store = a_store()
    await store.save(CREDENTIAL)
    keyring.lock()
    for call in (store.save(OTHER), store.delete()):
        with pytest.raises(StoreLocked):
            await call

    keyring.unlock()

    assert CREDENTIAL == await store.load()
    assert "ok" == store.health().state


async def test_t44_user_who_declined_is_not_prompted_again_immediately(keyring: PrivateKeyring) -> None:
    """A page that shows the status repeatedly causes at most one password prompt per minute."""
    clock = FakeClock()
    store = KeyringStore("upstash-helper", "default", monotonic=clock.monotonic)
    keyring.lock()
    prompts = []

    for wait in (0, 1, PROMPT_PAUSE - 2, 1):
        clock.advance(wait)
        with pytest.raises(StoreLocked):
            await store.load()
        prompts.append(keyring.prompts)

    assert [1, 1, 1, 2] == prompts


async def test_t44_saving_prompts_even_after_a_decline(keyring: PrivateKeyring) -> None:
    """The user has just started the connection, so saving prompts even right after a decline."""
    store = a_store()
    keyring.lock()
    with pytest.raises(StoreLocked):
        await store.load()

    with pytest.raises(StoreLocked):
        await store.save(CREDENTIAL)

    assert 2 == keyring.prompts


async def test_t44_reading_does_not_create_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without any keyring, reading the status creates none. Saving reports what to do."""
    skip_unless_there_is_one()
    session = PrivateKeyring(activatable=True)
    session.enter(monkeypatch)
    session.start(keyring=False)
    store = a_store()
    try:
        loaded = await store.load()
        await store.delete()
        asked_before = session.prompts
        with pytest.raises(StoreUnavailable, match=r"no keyring .* yet"):
            await store.save(CREDENTIAL)
        asked_after = session.prompts
    finally:
        session.stop()

    assert (None, 0, 1) == (loaded, asked_before, asked_after)


async def test_t44_unanswered_prompt_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends at its deadline although the prompt stays for a while. After that the keyring can be used again."""
    skip_unless_there_is_one()
    with PrivateKeyring(prompts="unanswered") as keyring:
        keyring.enter(monkeypatch)
        store = KeyringStore("upstash-helper", "default", deadline=0.5, unlock_seconds=1.0)
        await store.save(CREDENTIAL)
        keyring.lock()

        with pytest.raises(StoreLocked, match="waiting for you"):
            await store.load()
        await hung_call_ended()
        keyring.unlock()

        assert 1 == keyring.prompts
        assert CREDENTIAL == await store.load()


# --- hanging keyrings -------------------------------------------------------------------------------------------------


@every_call
async def test_t44_hanging_keyring_does_not_block_the_event_loop(keyring: PrivateKeyring, use: Use) -> None:
    """While the keyring does not respond, the daemon does: no iteration of the event loop is delayed by 50 ms."""
    lags = []
    keyring.freeze()

    # A busy machine may delay any program once, but not every time.
    for _ in range(3):
        lags.append(await worst_lag(use(a_store(deadline=0.5))))
        if lags[-1] < 0.05:
            break
    keyring.thaw()
    await hung_call_ended()

    assert min(lags) < 0.05


@every_call
async def test_t44_hanging_keyring_is_not_called_locked(keyring: PrivateKeyring, use: Use) -> None:
    """A call to which the keyring does not respond ends at its deadline, and reports what to do."""
    store = a_store(deadline=0.3)
    keyring.freeze()

    with pytest.raises(StoreUnavailable, match=r"did not respond within 0\.3 seconds"):
        await use(store)
    health = store.health()
    keyring.thaw()
    await hung_call_ended()

    assert ("unavailable", False) == (health.state, "locked" in health.detail)


async def test_t44_calls_do_not_queue_up_behind_a_hanging_one(keyring: PrivateKeyring) -> None:
    """While an overdue call hangs, further calls fail immediately, and start no threads."""
    store = a_store(deadline=0.3)
    keyring.freeze()
    with pytest.raises(StoreUnavailable):
        await store.load()

    results = await asyncio.gather(*(store.load() for _ in range(50)), return_exceptions=True)
    threads = [thread.name for thread in threading.enumerate()].count("keyring")
    keyring.thaw()
    await hung_call_ended()

    assert {StoreUnavailable} == {type(result) for result in results}
    assert 1 == threads


async def test_t44_keyring_is_used_again_once_it_responds(keyring: PrivateKeyring) -> None:
    """Once the keyring responds again, the store works, and failed calls have left no traces."""
    store = a_store(deadline=1.0)
    await store.save(CREDENTIAL)
    keyring.freeze()
    with pytest.raises(StoreUnavailable):
        await store.save(OTHER)

    keyring.thaw()
    await hung_call_ended()

    assert CREDENTIAL == await store.load()


def test_t44_hanging_keyring_does_not_delay_the_exit(keyring: PrivateKeyring) -> None:
    """Stopping the daemon does not wait for the keyring."""
    program = """
        import asyncio
        from upstash_helper.broker.errors import StoreUnavailable
        from upstash_helper.storage.credentials.keyring_store import KeyringStore

        async def main():
            try:
                await KeyringStore("upstash-helper", "default", deadline=0.3).load()
            except StoreUnavailable:
                print("unavailable")

        asyncio.run(main())
    """
    keyring.freeze()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env=keyring.env,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    finally:
        keyring.thaw()

    assert (0, "unavailable\n", "") == (ended.returncode, ended.stdout, ended.stderr)


# --- keyrings that stop -----------------------------------------------------------------------------------------------


@every_call
async def test_t44_stopped_keyring_is_unavailable(keyring: PrivateKeyring, use: Use) -> None:
    """A keyring that stops between two calls is unavailable, and is used again once it is back."""
    store = a_store()
    await store.save(CREDENTIAL)
    keyring.kill_keyring()

    with pytest.raises(StoreUnavailable, match="running"):
        await use(store)
    keyring.start_keyring()

    assert CREDENTIAL == await store.load()


@every_call
async def test_t44_ended_session_is_unavailable(keyring: PrivateKeyring, use: Use) -> None:
    """When the user logs out, the session bus disappears. The daemon finds the bus of the next session."""
    store = a_store()
    await store.save(CREDENTIAL)
    keyring.kill_keyring()
    keyring.kill_bus()

    with pytest.raises(StoreUnavailable, match="running"):
        await use(store)
    keyring.start()

    assert CREDENTIAL == await store.load()


@every_call
async def test_t44_error_of_the_session_bus_is_shown(monkeypatch: pytest.MonkeyPatch, use: Use) -> None:
    """A keyring that cannot be started is reported with what the session bus says about it."""
    skip_unless_there_is_one()
    session = PrivateKeyring()
    session.declare("org.freedesktop.secrets", "/bin/false")
    session.enter(monkeypatch)
    session.start(keyring=False)
    store = a_store()
    try:
        with pytest.raises(StoreUnavailable) as failed:
            await use(store)
    finally:
        session.stop()

    text = "Process org.freedesktop.secrets exited with status 1 (org.freedesktop.DBus.Error.Spawn.ChildExited)"
    assert f"The keyring (Secret Service) failed: {text}." in failed.value.detail
    assert failed.value.detail == store.health().detail


async def test_t44_restarted_keyring_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desktop restarts a crashed keyring in the locked state. The account is not considered disconnected."""
    skip_unless_there_is_one()
    with PrivateKeyring(activatable=True) as keyring:
        keyring.enter(monkeypatch)
        store = a_store()
        await store.save(CREDENTIAL)
        keyring.kill_keyring()

        with pytest.raises(StoreLocked):
            await store.load()


# --- stored entries ---------------------------------------------------------------------------------------------------


async def test_t44_credential_too_long_for_windows_is_rejected(keyring: PrivateKeyring) -> None:
    """
    A credential that one platform cannot store is rejected on all of them before writing, with its length and the
    limit.
    """
    store = a_store()
    await store.save(CREDENTIAL)
    room = MAX_RECORD_UNITS - len(encode(CREDENTIAL)) + len(API_KEY)
    longest, too_long = (
        msgspec.structs.replace(CREDENTIAL, api_key=Secret("k" * length)) for length in (room, room + 1)
    )

    with pytest.raises(StoreUnavailable, match=r"1201 characters.* the limit of 1200"):
        await store.save(too_long)
    kept = await store.load()
    await store.save(longest)

    assert CREDENTIAL == kept
    assert longest == await store.load()


async def test_t44_length_is_counted_in_utf16_code_units(keyring: PrivateKeyring) -> None:
    """A character outside the Basic Multilingual Plane counts as two, as on Windows."""
    long = msgspec.structs.replace(CREDENTIAL, email="𝒶" * 600)

    with pytest.raises(StoreUnavailable, match="the limit of 1200"):
        await a_store().save(long)


async def test_t44_nothing_is_written_in_plaintext(keyring: PrivateKeyring, caplog: pytest.LogCaptureFixture) -> None:
    """No file of the session, including the keyring's own, and no line of a debug log contains the key."""
    caplog.set_level(logging.DEBUG)
    store = a_store()

    await store.save(CREDENTIAL)
    await store.load()
    files = keyring.files()
    await store.delete()

    assert any(path.suffix == ".keyring" for path in files)
    assert [] == [path for path, data in files.items() if API_KEY.encode() in data]
    assert API_KEY not in caplog.text


async def test_t44_entry_can_be_found_by_its_name(keyring: PrivateKeyring) -> None:
    """Users can view and remove the entry with other tools."""
    await a_store().save(CREDENTIAL)

    found = subprocess.run(
        [sys.executable, "-m", "keyring", "get", "upstash-helper", "default"],
        env=keyring.env,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert encode(CREDENTIAL) == found.stdout.strip()
