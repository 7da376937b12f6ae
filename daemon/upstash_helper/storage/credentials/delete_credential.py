"""
Deletes a profile's credential without a daemon: ``python -m`` this module, with the profile's name.

For ``uninstall --purge``, which is a client and knows no keyring. Prints what became of it as JSON, and never the key.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec

from upstash_helper.service.purge import Forgotten
from upstash_helper.settings.config import Profile, Settings, load_profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import CredentialStore


def names_of(world: Profile) -> list[str]:
    """Return the names of the entries that the profile may have: for the API of its settings, and for Upstash's own."""
    usual = msgspec.structs.replace(world.settings, api_url=Settings().api_url)
    at_upstash = msgspec.structs.replace(world, settings=usual)
    return list(dict.fromkeys((world.credential_name, at_upstash.credential_name)))


async def forget(world: Profile) -> Forgotten:
    """Delete the credential wherever it may be; what a file holds goes with its folder."""
    from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
    from upstash_helper.storage.credentials.file_store import FileStore
    from upstash_helper.storage.credentials.keyring_store import UNLOCK_SECONDS, KeyringStore

    found: list[Credential] = []
    gone: list[str] = []
    kept: list[str] = []
    problem: str | None = None
    for name in names_of(world):
        # One call is one question to the user, and this command has nothing else to do than to wait for the answer.
        store = KeyringStore("upstash-helper", name, deadline=UNLOCK_SECONDS + 5)
        try:
            credential = await _load(store)
            await store.delete()
        except (StoreLocked, StoreUnavailable) as error:
            kept.append(name)
            problem = error.detail
            continue
        if credential is not None:
            found.append(credential)
            gone.append(name)
    if world.credential_file.exists():
        in_file = await _load(FileStore(world.credential_file))
        found += [in_file] if in_file else []
    if world.settings.credential_store != "keyring":
        kept, problem = [], None  # nothing was ever put there
    return Forgotten(
        entries=tuple(gone),
        kept=tuple(kept),
        key_name=_first(one.key_name for one in found),
        email=_first(one.email for one in found),
        problem=problem,
    )


async def _load(store: CredentialStore) -> Credential | None:
    from upstash_helper.broker.errors import StoreUnavailable

    try:
        return await store.load()
    except StoreUnavailable:
        return None  # what cannot be read can be deleted all the same


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text), None)


def main() -> None:
    """Do it."""
    sys.stdout.write(msgspec.json.encode(asyncio.run(forget(load_profile(profile=sys.argv[1])))).decode())


if __name__ == "__main__":
    main()
