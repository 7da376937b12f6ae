"""The bridge's token store: the same kind of store as for the profile's credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.cli.mcp.agent import file_name
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.settings.profiles import Folders

STORE_FOLDER = "mcp"
_USE_A_FILE: Final = (
    'On a machine without a keyring, set credential_store = "file" in config.toml to store the token in a file, in'
    " plaintext."
)


def open_store(account: str, *, profile: str, folders: Folders) -> TokenStore:
    """
    Return the store of an account: the keyring, or the store in the setting ``credential_store``.

    Args:
        account: The token's name; see ``agent.token_account``.
        profile: The profile's name.
        folders: Its folders.

    Raises:
        SettingsError: If a setting is invalid.
    """
    from upstash_helper.client.token_store import FileTokens, KeyringTokens, MemoryTokens
    from upstash_helper.settings.config import load_profile
    from upstash_helper.settings.profiles import root_of

    loaded = load_profile(profile=profile)
    match loaded.settings.credential_store:
        case "file":
            return FileTokens(folders.state / STORE_FOLDER / file_name(account))
        case "memory":
            return MemoryTokens()
        case _:
            import os

            root = root_of(os.environ)
            parts = [] if profile == DEFAULT_PROFILE else [f"profile {profile}"]
            label = ", ".join([*parts, f"in {root}"] if root else parts)
            return KeyringTokens(account, daemon=label, instead=_USE_A_FILE)
