"""What an app may call: to be let in, and about its own token."""

from __future__ import annotations

from urllib.parse import quote

from upstash_helper.client.calls import Calls
from upstash_helper.client.daemon import START_COMMAND, DaemonClient
from upstash_helper.protocol import wire_apps


class AppCalls(Calls):
    """The methods for pairing and for the token. They raise what ``DaemonClient`` says."""

    def ask_pairing(self, wish: wire_apps.AskPairing) -> wire_apps.StartedPairing:
        """Ask the user to let the app in."""
        return self._ask("POST", "/v1/pairings", wire_apps.StartedPairing, body=wish)

    def pairing(self, pairing_id: str) -> wire_apps.PairingStatus:
        """Return what became of a pairing; the client's token is its ``poll_secret``."""
        return self._ask("GET", _pairing(pairing_id), wire_apps.PairingStatus)

    def fetch_token(self, pairing_id: str) -> wire_apps.NewToken:
        """Return the app's token, which is done once; the client's token is the pairing's ``poll_secret``."""
        return self._ask("POST", f"{_pairing(pairing_id)}/token", wire_apps.NewToken)

    def withdraw_pairing(self, pairing_id: str) -> None:
        """Ask no longer; the client's token is the pairing's ``poll_secret``."""
        self._send("DELETE", _pairing(pairing_id))

    def token(self) -> wire_apps.TokenInfo:
        """Return what the token is."""
        return self._ask("GET", "/v1/token", wire_apps.TokenInfo)

    def rotate_token(self) -> wire_apps.NewToken:
        """Return a new token; the old one stops working."""
        return self._ask("POST", "/v1/token/rotate", wire_apps.NewToken)

    def revoke_token(self) -> None:
        """Sign the app out: its token stops working."""
        self._send("DELETE", "/v1/token")


class AppClient(DaemonClient, AppCalls):
    """The daemon as an app sees it. Nothing is sent to a program that does not say that it is the helper."""

    def __init__(self, base_url: str, token: str | None, *, start_command: str = START_COMMAND) -> None:
        """
        Args:
            base_url: Such as ``http://127.0.0.1:3000``.
            token: The app's token, or a pairing's ``poll_secret``; None for the calls that need none.
            start_command: What to tell the user to run if the daemon is not there.

        Raises:
            ValueError: If ``base_url`` is not on this machine's loopback.
        """
        super().__init__(base_url, token, start_command=start_command, prove=True)


def _pairing(pairing_id: str) -> str:
    return f"/v1/pairings/{quote(pairing_id, safe='')}"
