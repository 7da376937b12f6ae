"""
A probe of the keyring, for ``doctor``: an entry is written, read back, deleted. ``python -m`` of this module does it.

It is a process of its own because a keyring may wait for its user for ever: whoever started it ends it then. The user
is never asked for anything. What is written is random, and nobody is told what it was.
"""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.storage.credentials import keyring_store
from upstash_helper.storage.credentials.keyring_store import Entry, explain, locked, none_yet
from upstash_helper.system import keyrings
from upstash_helper.system.keyrings import is_secret_service

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE: Final = "upstash-helper"
"""What the keyring shows the entry as being for, as it does the real one."""
FORGET: Final = "--forget"

State = Literal["ok", "locked", "absent", "broken"]


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    state: State
    """``absent``: there is no keyring that can be used. ``broken``: it does not do what it is asked."""
    kind: str
    """The keyring in words a user knows."""
    detail: str = ""
    left_behind: bool = False
    """Whether the entry is still there."""


class Probe(Entry):
    """An entry that is there for a moment."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: The entry's: one that nobody else has, so that two probes do not meet.
        """
        super().__init__(SERVICE, name)

    def look(self) -> ProbeResult:
        """Write, read back and delete."""
        try:
            backend = self._choose()
        except StoreUnavailable as error:
            return self._probed("absent", error)
        try:
            state = _state(backend)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the probe is for
            return self._failed(error)
        if state == "locked":
            return self._probed("locked", locked(self.kind))
        if state == "absent":
            return self._probed("absent", none_yet(self.kind))
        return self._use(backend)

    def forget(self) -> ProbeResult:
        """Delete what a probe left that was ended before it could."""
        try:
            backend = self._choose()
            if _state(backend) == "open":
                self._remove(backend)
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(error)
        return ProbeResult(state="ok", kind=self.kind)

    def _use(self, backend: Any) -> ProbeResult:
        value = secrets.token_urlsafe(32)
        try:
            backend.set_password(*self._key, value)
            same = backend.get_password(*self._key) == value
        except Exception as error:  # noqa: BLE001 - as above
            failed = self._failed(error)
            return msgspec.structs.replace(failed, left_behind=not self._clean(backend))
        gone = self._clean(backend)
        if same and gone:
            return ProbeResult(state="ok", kind=self.kind)
        what = "does not delete what it is told to delete." if same else "does not keep what it is given."
        return ProbeResult(
            state="broken", kind=self.kind, detail=f"The keyring ({self.kind}) {what}", left_behind=not gone
        )

    def _clean(self, backend: Any) -> bool:
        """Delete the entry, and return whether it is gone."""
        try:
            self._remove(backend)
            return backend.get_password(*self._key) is None
        except Exception:  # noqa: BLE001 - as above
            return False

    def _failed(self, error: Exception) -> ProbeResult:
        explained = explain(error, kind=self.kind)
        return self._probed("locked" if isinstance(explained, StoreLocked) else "broken", explained)

    def _probed(self, state: State, why: StoreLocked | StoreUnavailable) -> ProbeResult:
        return ProbeResult(
            state=state, kind=self.kind, detail=why.detail.removesuffix(keyring_store.OTHERWISE).rstrip()
        )


def _state(backend: Any) -> keyrings.State:
    """Return whether the keyring is open; one that cannot say so is tried."""
    if not is_secret_service(backend):
        return "open"
    return keyrings.state(getattr(backend, "preferred_collection", keyrings.DEFAULT))


def main(arguments: Sequence[str]) -> None:
    """Probe with an entry of the name that is given, or forget it; print what became of it as one line of JSON."""
    import logging

    logging.disable()  # the answer says it all
    probe = Probe(arguments[-1])
    answer = probe.forget() if arguments[0] == FORGET else probe.look()
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
