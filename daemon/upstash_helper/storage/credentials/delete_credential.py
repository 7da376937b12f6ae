"""
Deletes a profile's credential while no daemon runs: ``python -m`` this module with the profile's name.

``uninstall --purge`` starts it, since it is a client and does not know the keyring. The output is JSON, without the
credential.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec

from upstash_helper.protocol.deleted_credential import DeletedCredential
from upstash_helper.settings.config import Profile, Settings, load_profile
from upstash_helper.system import console, core_dumps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import CredentialStore


def entry_names(profile: Profile) -> list[str]:
    """Return the names of the entries that a profile may have: for the API in its settings, and for Upstash's own."""
    usual = msgspec.structs.replace(profile.settings, api_url=Settings().api_url)
    at_upstash = msgspec.structs.replace(profile, settings=usual)
    return list(dict.fromkeys((profile.credential_name, at_upstash.credential_name)))


async def delete_credential(profile: Profile) -> DeletedCredential:
    """Delete the keyring entries. A credential in a file is only read; ``--purge`` removes its folder."""
    from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
    from upstash_helper.storage.credentials.file_store import FileStore
    from upstash_helper.storage.credentials.keyring_store import KeyringStore
    from upstash_helper.system.keyrings import UNLOCK_SECONDS

    found: list[Credential] = []
    deleted: list[str] = []
    kept: list[str] = []
    problem: str | None = None
    for name in entry_names(profile):
        # Each call may prompt the user, and this command has nothing else to do than to wait for that.
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
            deleted.append(name)
    if profile.credential_file.exists():
        in_file = await _load(FileStore(profile.credential_file))
        found += [in_file] if in_file else []
    if profile.settings.credential_store != "keyring":
        kept, problem = [], None  # the keyring was never used
    return DeletedCredential(
        entries=tuple(deleted),
        kept=tuple(kept),
        key_name=_first(credential.key_name for credential in found),
        grant_name=_first(credential.grant.client_name for credential in found if credential.grant),
        email=_first(credential.email for credential in found),
        problem=problem,
    )


async def _load(store: CredentialStore) -> Credential | None:
    from upstash_helper.broker.errors import StoreUnavailable

    try:
        return await store.load()
    except StoreUnavailable:
        return None  # an entry that cannot be read can still be deleted


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text), None)


def main() -> None:
    """Delete the credential of the profile that the first argument names; print a ``DeletedCredential``."""
    core_dumps.disable()
    result = asyncio.run(delete_credential(load_profile(profile=sys.argv[1])))
    console.write_utf8(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
