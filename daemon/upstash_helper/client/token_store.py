"""Where an app keeps its token."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from upstash_helper.client.errors import TokenStoreUnavailable
from upstash_helper.protocol.discovery import make_private
from upstash_helper.protocol.wire import Sensitive
from upstash_helper.system import token_files

if TYPE_CHECKING:
    import os


class TokenStore(Protocol):
    """
    Keeps one token for one app. ``Helper.pair`` takes any object with these methods.

    Every method raises ``TokenStoreUnavailable`` if the store cannot be used now.
    """

    def load(self) -> str | None:
        """Return the token that was saved last, or None if there is none."""

    def save(self, token: str) -> None:
        """Keep ``token`` in the place of the one before. It can be loaded as soon as this returns."""

    def delete(self) -> None:
        """Forget the token; nothing happens if there is none."""


class Held(Sensitive, frozen=True, kw_only=True):
    """A token in memory. It does not print."""

    value: str


class MemoryTokens:
    """A ``TokenStore`` in memory: the user is asked anew with each run of the app. For tests, and short visits."""

    def __init__(self) -> None:
        self._held: Held | None = None

    def load(self) -> str | None:
        """Return the token, or None if there is none."""
        return None if self._held is None else self._held.value

    def save(self, token: str) -> None:
        """Keep ``token``."""
        self._held = Held(value=token)

    def delete(self) -> None:
        """Forget the token."""
        self._held = None


class FileTokens:
    """
    A ``TokenStore`` in a file of its user's alone (mode 0600), in clear: for machines without a keyring.

    Whoever can read the file can do what the user has let the app do, until the user revokes that. Keep it out of
    repositories, backups and images.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: The file. Its folder is made when a token is saved, if it is absent. One file is for one app and one
                daemon.
        """
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"FileTokens({str(self._path)!r})"

    def load(self) -> str | None:
        """
        Return the token, or None if there is none.

        Raises:
            TokenStoreUnavailable: If the file cannot be read, is another user's, or can be read by others.
        """
        try:
            content = token_files.read(self._path)
        except FileNotFoundError:
            return None
        except token_files.NotPrivate as error:
            raise TokenStoreUnavailable(f"{self._path}: {error}. Remove it, and pair again.") from error
        except OSError as error:
            raise self._unusable(error) from error
        return content.decode("ascii", "replace").strip() or None

    def save(self, token: str) -> None:
        """
        Put ``token`` in the place of the file.

        Raises:
            TokenStoreUnavailable: If it cannot be written.
        """
        try:
            make_private(self._path.parent)
            token_files.write(self._path, token.encode())
        except OSError as error:
            raise self._unusable(error) from error

    def delete(self) -> None:
        """
        Remove the file.

        Raises:
            TokenStoreUnavailable: If it cannot be removed.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> TokenStoreUnavailable:
        reason = error.strerror or type(error).__name__
        return TokenStoreUnavailable(f"{self._path} cannot be used: {reason}. Check the folder's owner and mode.")
