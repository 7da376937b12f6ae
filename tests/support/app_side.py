"""An app that asks the daemon to be let in: what it sends, over HTTP and nothing else."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support.world import as_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.daemon import DaemonProcess


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    json: Any

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.json["code"])


@dataclass(frozen=True)
class AppSide:
    """A page of ``origin``, or a native program: this one."""

    daemon: DaemonProcess
    origin: str | None = None
    pairing: dict[str, Any] = field(default_factory=dict)
    """As the daemon answered the wish."""

    @classmethod
    def asks(
        cls, daemon: DaemonProcess, *scopes: str, origin: str | None = None, name: str = "Orders", reason: str = ""
    ) -> AppSide:
        """Ask to be let in, and go on when the daemon has taken the wish."""
        app = cls(daemon, origin)
        wish = {"name": name, "scopes": scopes or ("connection:read",), "reason": reason}
        asked = app.send("POST", "/v1/pairings", wish)
        assert asked.status == 202, asked.json
        return cls(daemon, origin, asked.json)

    @classmethod
    def let_in(cls, daemon: DaemonProcess, *scopes: str, name: str = "Orders", origin: str | None = None) -> AppSide:
        """Ask, have the owner say yes, and fetch the token."""
        app = cls.asks(daemon, *scopes, name=name, origin=origin)
        daemon.client.approve(app.id)
        return cls(daemon, origin, {**app.pairing, **app.fetch().json})

    @property
    def id(self) -> str:
        """The pairing's id."""
        return str(self.pairing["id"])

    @property
    def code(self) -> str:
        """The code that it shows."""
        return str(self.pairing["user_code"])

    @property
    def state(self) -> str:
        """What became of its wish."""
        return str(self.send("GET", f"/v1/pairings/{self.id}", token=self.pairing["poll_secret"]).json["state"])

    @property
    def app_id(self) -> str:
        """Its id, once it is let in."""
        return str(self.pairing["app_id"])

    def fetch(self) -> Reply:
        """Fetch the token."""
        return self.send("POST", f"/v1/pairings/{self.id}/token", token=self.pairing["poll_secret"])

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request with the token that it was given."""
        return self.send(method, path, body, token=self.pairing["token"], headers=headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request."""
        sent = {**({} if self.origin is None else as_page(self.origin)), **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None if body is None else msgspec.json.encode(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=30)
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return Reply(response.status, msgspec.json.decode(text) if text else None)
