"""This installation's registrations: a file that may be damaged, and that holds no secret."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.platforms import symbolic_links
from upstash_helper.broker.models import Registration
from upstash_helper.storage.registrations import MemoryRegistrations, RegistrationFile

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.broker.ports import Registrations

ONE = Registration(issuer="https://one.test", client_id="client-1", client_name="upstash-helper (lovelace)")
TWO = Registration(issuer="https://two.test", client_id="client-1", client_name="upstash-helper (lovelace)")
LATER = msgspec.structs.replace(ONE, client_id="client-2")


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "registrations.json"


@pytest.fixture(name="kept", params=["file", "memory"])
async def _kept(request: pytest.FixtureRequest, path: Path) -> Registrations:
    return RegistrationFile(path) if request.param == "file" else MemoryRegistrations()


async def test_registration_is_found_by_its_issuer_only(kept: Registrations) -> None:
    """Another issuer's client ID is never used, however similar the issuer's name is."""
    await kept.save(ONE)

    others = (
        "https://two.test",
        "https://one.test/",
        "https://ONE.test",
        "https://one.test.evil",
        "http://one.test",
        "",
    )
    found = [await kept.load(issuer) for issuer in others]

    assert ONE == await kept.load(ONE.issuer)
    assert [None] * len(others) == found


async def test_later_registration_replaces_the_earlier(kept: Registrations) -> None:
    """At the same issuer."""
    for registration in (ONE, TWO, LATER):
        await kept.save(registration)

    assert (LATER, TWO) == (await kept.load(ONE.issuer), await kept.load(TWO.issuer))


async def test_forgotten_registration_is_gone(kept: Registrations) -> None:
    """But not one at another issuer, whose client ID may be the same. The name does not matter."""
    await kept.save(ONE)
    await kept.save(TWO)

    await kept.forget(msgspec.structs.replace(ONE, client_name="renamed"))
    await kept.forget(ONE)

    assert (None, TWO) == (await kept.load(ONE.issuer), await kept.load(TWO.issuer))


async def test_registration_that_was_replaced_is_not_forgotten(kept: Registrations) -> None:
    """A late answer about the earlier client must not lose the new one."""
    await kept.save(ONE)
    await kept.save(LATER)

    await kept.forget(ONE)

    assert LATER == await kept.load(ONE.issuer)


async def test_concurrent_changes_lose_nothing(kept: Registrations) -> None:
    """Each change starts from the result of the one before."""
    registrations = [msgspec.structs.replace(ONE, issuer=f"https://{number}.test") for number in range(10)]

    await asyncio.gather(*(kept.save(registration) for registration in registrations))

    assert registrations == [await kept.load(registration.issuer) for registration in registrations]


async def test_registration_survives_a_restart_in_a_private_file(path: Path) -> None:
    """Its folder may be missing: this may be the first file that the daemon writes."""
    await RegistrationFile(path).save(ONE)

    assert ONE == await RegistrationFile(path).load(ONE.issuer)
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)


async def test_file_does_not_grow_without_end(path: Path) -> None:
    """A sandbox has another issuer each time. The latest are kept."""
    registrations = [msgspec.structs.replace(ONE, issuer=f"https://{number}.test") for number in range(40)]
    for registration in registrations:
        await RegistrationFile(path).save(registration)

    found = [await RegistrationFile(path).load(registration.issuer) for registration in registrations]

    assert found[-1] == registrations[-1]
    assert None is found[0]
    assert path.stat().st_size < 65_536


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"[1]",
        b"[" * 60_000,
        b'[{"more": ' + b"[" * 60_000,
        b'[{"issuer": "https://one.test"}]',
        b'[{"issuer": "https://one.test", "client_id": 5, "client_name": ""}]',
        b"\xff\xfe[",
        b" " * 100_000,
    ],
    ids=lambda content: repr(content)[:20],
)
async def test_damaged_file_counts_as_empty(path: Path, content: bytes) -> None:
    """And is replaced by the next registration, so that there is not a new client at each start."""
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    before = await RegistrationFile(path).load(ONE.issuer)

    await RegistrationFile(path).save(ONE)

    assert (None, ONE) == (before, await RegistrationFile(path).load(ONE.issuer))


@symbolic_links
async def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Neither to read nor to write: its target stays as it is."""
    target = tmp_path / "target.json"
    await RegistrationFile(target).save(LATER)
    content = target.read_bytes()
    path.parent.mkdir()
    path.symlink_to(target)

    before = await RegistrationFile(path).load(ONE.issuer)
    await RegistrationFile(path).save(ONE)

    assert (None, ONE) == (before, await RegistrationFile(path).load(ONE.issuer))
    assert content == target.read_bytes()
    assert not path.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no FIFOs")
async def test_what_is_no_file_stops_nothing(path: Path) -> None:
    """A FIFO without a writer, or a folder: it is not waited for, and no method raises."""
    path.parent.mkdir()
    os.mkfifo(path)
    found = await RegistrationFile(path).load(ONE.issuer)
    path.unlink()
    path.mkdir()
    registrations = RegistrationFile(path)

    await registrations.save(ONE)
    await registrations.forget(ONE)

    assert (None, None) == (found, await registrations.load(ONE.issuer))
