"""Where an app stores its token: the system's keyring, a private file, or memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from upstash_helper.client.errors import TokenStoreLocked, TokenStoreUnavailable
from upstash_helper.protocol.wire import Sensitive
from upstash_helper.system import disk_errors, keyring_errors, keyrings, open_files, private_files
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

T = TypeVar("T")

SERVICE: Final = "upstash-helper app"
"""What the entries are for, as keyring tools show it."""

TIMEOUT: Final = 60.0

_MAX_BYTES: Final = 16_384  # a token has about 50

_USE_A_FILE: Final = "Or store the token in a file, in plaintext, with token_store=FileTokens(path)."


class TokenStore(Protocol):
    """
    Stores one token for one app. ``Helper.pair`` takes any object with these methods.

    Every method raises ``TokenStoreUnavailable`` if the store cannot be used.
    """

    def load(self) -> str | None:
        """Return the token that was saved last, or None if there is none."""

    def save(self, token: str) -> None:
        """Replace the stored token. It can be loaded as soon as this returns."""

    def delete(self) -> None:
        """Delete the token, if there is one."""


class SecretToken(Sensitive, frozen=True, kw_only=True):
    """A token in memory. Its repr does not show it."""

    value: str


class MemoryTokens:
    """A ``TokenStore`` in memory: the user approves the app again each time it runs. For tests and one-time scripts."""

    def __init__(self) -> None:
        self._token: SecretToken | None = None

    def load(self) -> str | None:
        """Return the token, or None if there is none."""
        return None if self._token is None else self._token.value

    def save(self, token: str) -> None:
        """Replace the token."""
        self._token = SecretToken(value=token)

    def delete(self) -> None:
        """Delete the token."""
        self._token = None


class FileTokens:
    """
    A ``TokenStore`` in a private file (mode 0600), in plaintext: for machines without a keyring.

    Anyone who can read the file has the app's access until the user revokes it. Keep it out of repositories, backups
    and images.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: The file; ``save`` creates its folder if needed. Use one file for each app and daemon.
        """
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"FileTokens({str(self._path)!r})"

    def load(self) -> str | None:
        """
        Return the token, or None if there is none.

        Raises:
            TokenStoreUnavailable: If the file cannot be read, belongs to another user, or is accessible to others.
        """
        try:
            content = private_files.read(self._path, limit=_MAX_BYTES)
        except private_files.NotPrivate as error:
            raise TokenStoreUnavailable(f"{self._path} {error.reason}. Remove it, then pair again.") from error
        except OSError as error:
            raise self._unusable(error) from error
        return None if content is None else content.decode("ascii", "replace").strip() or None

    def save(self, token: str) -> None:
        """
        Replace the file.

        Raises:
            TokenStoreUnavailable: If it cannot be written.
        """
        try:
            private_files.make_folder(self._path.parent)
            private_files.write(self._path, token.encode())
        except OSError as error:
            raise self._unusable(error) from error

    def delete(self) -> None:
        """
        Remove the file.

        Raises:
            TokenStoreUnavailable: If it cannot be removed.
        """
        try:
            open_files.remove(self._path)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> TokenStoreUnavailable:
        reason = disk_errors.reason(error)
        return TokenStoreUnavailable(f"{self._path} cannot be used: {reason}. Check the folder's owner and mode.")


class KeyringTokens:
    """The default ``TokenStore`` of ``Helper.pair``: the system's keyring, if it is one that encrypts."""

    def __init__(
        self,
        app_name: str,
        *,
        daemon: str = "",
        timeout: float = TIMEOUT,
        trusted: Mapping[str, str] = keyrings.TRUSTED,
        instead: str = _USE_A_FILE,
    ) -> None:
        """
        Args:
            app_name: The app's name, as keyring tools show it.
            daemon: Distinguishes the tokens for several daemons; empty for that of the default profile.
            timeout: Seconds that a call may take, including the user's unlocking of the keyring.
            trusted: The allow-list of keyring backends, with their names.
            instead: A sentence about how to store the token elsewhere, for errors. By default, it is for apps.
        """
        self._account: Final = f"{app_name} ({daemon})" if daemon else app_name
        self._timeout = timeout
        self._instead = instead
        self._entry = keyrings.KeyringEntry(SERVICE, self._account, unlock_seconds=timeout, trusted=trusted)
        self._worker = Worker("token-keyring")

    def __repr__(self) -> str:
        return f"KeyringTokens({self._account!r})"

    def load(self) -> str | None:
        """
        Return the token, or None if there is none.

        Raises:
            TokenStoreLocked: If the user does not unlock the keyring.
            TokenStoreUnavailable: If there is no keyring, or none that is trusted.
        """
        return self._run(self._entry.get)

    def save(self, token: str) -> None:
        """
        Store ``token`` and read it back.

        Raises:
            TokenStoreLocked: If the user does not unlock the keyring.
            TokenStoreUnavailable: If there is no keyring, or it does not keep the token.
        """
        self._run(partial(self._entry.set, token))

    def delete(self) -> None:
        """
        Delete the token, if there is one.

        Raises:
            TokenStoreLocked: If the user does not unlock the keyring.
            TokenStoreUnavailable: If there is no keyring, or it does not delete the token.
        """
        self._run(self._entry.delete)

    def _run(self, job: Callable[[Call], T]) -> T:
        try:
            return self._worker.run_blocking(job, deadline=self._timeout)
        except (DeadlineExceeded, Busy):
            error = keyring_errors.no_answer(self._entry.kind, self._timeout, waiting=self._entry.waiting)
        except JobFailed as failed:
            error = keyring_errors.explain(failed.error, kind=self._entry.kind)
        # Raised here, so that its context is not an error with frames that hold the token.
        raise _as_token_store_error(error, self._instead)


def _as_token_store_error(error: keyring_errors.KeyringError, instead: str) -> TokenStoreUnavailable:
    match error:
        case keyring_errors.KeyringLocked():
            return TokenStoreLocked(f"{error} {instead}")
        case keyring_errors.NotDeleted() | keyring_errors.NotAllowed() | keyring_errors.NoResponse():
            return TokenStoreUnavailable(str(error))
        case _:
            return TokenStoreUnavailable(f"{error} {instead}")
