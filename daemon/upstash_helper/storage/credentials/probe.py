"""
Tests the keyring for ``doctor``: writes an entry, reads it back, and deletes it. Run with ``python -m``.

It is a process of its own because a keyring may block indefinitely; ``doctor`` kills it then. It never prompts the
user, starts no program, and leaves nothing behind: KWallet and KeePassXC are only asked for their state. The value it
writes is random and is not shown.
"""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from upstash_helper.system import console, keyring_errors, keyrings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstash_helper.system.secret_service import SecretService

SERVICE: Final = "upstash-helper"
"""The same as that of the real entry, which keyring tools show."""

# The argument that deletes an entry instead, for a probe that was killed before it could.
_DELETE: Final = "--forget"

State = Literal["ok", "unlocked", "not_running", "locked", "absent", "not_created", "broken"]


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The program's output."""

    state: State
    """
    ``unlocked``: nothing was written, because that would open a window, or leave a trace. ``not_running``: the session
    starts it when it is needed. ``absent``: there is no keyring that can be used. ``not_created``: the Secret Service
    has no default collection yet. ``broken``: there is a keyring, and it does not work.
    """
    kind: str
    """The keyring's name."""
    detail: str = ""
    left_behind: bool = False
    """Whether the entry may still be there."""


class Probe(keyrings.KeyringEntry):
    """A temporary entry."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: The entry's account. It must be unique: two probes may run at once.
        """
        super().__init__(SERVICE, name)

    def test(self) -> ProbeResult:
        """Write the entry, read it back, and delete it."""
        try:
            backend = self._choose()
        except keyring_errors.KeyringUnavailable as error:
            return self._result("absent", error)
        try:
            obstacle = None if self._service is None else self._obstacle(self._service)
        except Exception as error:  # noqa: BLE001 - reporting any error is the purpose of the probe
            obstacle = self._failed(error)
        return obstacle or self._write_and_delete(backend)

    def _obstacle(self, service: SecretService) -> ProbeResult | None:
        """Return why no entry can be written without a window, or a program that is started."""
        service.prompts = False
        if not service.is_running():
            return ProbeResult(state="not_running", kind=self.kind)
        state = service.state()
        self.kind = service.kind
        if state == "locked":
            return self._result("locked", keyring_errors.locked(self.kind))
        if state == "absent":
            return self._result("not_created", keyring_errors.no_keyring_yet(self.kind))
        return None if service.forgets_entries else ProbeResult(state="unlocked", kind=self.kind)

    def delete_leftover(self) -> ProbeResult:
        """Delete the entry of a probe that was killed."""
        try:
            backend = self._choose()
            if self._service is None or self._obstacle(self._service) is None:
                self._remove(backend)
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(error)
        return ProbeResult(state="ok", kind=self.kind)

    def _write_and_delete(self, backend: Any) -> ProbeResult:
        value = secrets.token_urlsafe(32)
        try:
            backend.set_password(*self._key, value)
            same = backend.get_password(*self._key) == value
        except Exception as error:  # noqa: BLE001 - as above
            failed = self._failed(error)
            return msgspec.structs.replace(failed, left_behind=not self._deleted(backend))
        deleted = self._deleted(backend)
        if same and deleted:
            return ProbeResult(state="ok", kind=self.kind)
        problem = "did not delete an entry." if same else "did not return what was stored in it."
        detail = f"The keyring ({self.kind}) {problem}"
        return ProbeResult(state="broken", kind=self.kind, detail=detail, left_behind=not deleted)

    def _deleted(self, backend: Any) -> bool:
        """Delete the entry; return whether it is gone."""
        try:
            self._remove(backend)
            return backend.get_password(*self._key) is None
        except Exception:  # noqa: BLE001 - as above
            return False

    def _failed(self, error: Exception) -> ProbeResult:
        match explained := keyring_errors.explain(error, kind=self.kind):
            case keyring_errors.KeyringLocked():
                return self._result("locked", explained)
            case keyring_errors.NoKeyringYet():
                return self._result("not_created", explained)
            case _:
                return self._result("broken", explained)

    def _result(self, state: State, error: keyring_errors.KeyringError) -> ProbeResult:
        return ProbeResult(state=state, kind=self.kind, detail=str(error))


def main(arguments: Sequence[str]) -> None:
    """Run the probe with the entry named by the last argument; print a ``ProbeResult`` as one line of JSON."""
    import logging

    logging.disable()  # the output has everything
    probe = Probe(arguments[-1])
    result = probe.delete_leftover() if arguments[0] == _DELETE else probe.test()
    console.write_utf8(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
