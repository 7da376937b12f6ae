"""An app that requests access from the daemon: what it sends over HTTP, without the Python client."""

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
    """The daemon's answer."""

    status: int
    json: Any

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.json["code"])


@dataclass(frozen=True)
class SampleApp:
    """A web page of ``origin``; without one, a native program, which is the test's own process."""

    daemon: DaemonProcess
    origin: str | None = None
    pairing: dict[str, Any] = field(default_factory=dict)
    """The daemon's answer to the access request, and to fetching the token."""

    @classmethod
    def requesting(
        cls, daemon: DaemonProcess, *scopes: str, origin: str | None = None, name: str = "Orders", reason: str = ""
    ) -> SampleApp:
        """Request access. Returns once the daemon has accepted the request."""
        app = cls(daemon, origin)
        request = {"name": name, "scopes": scopes or ("connection:read",), "reason": reason}
        started = app.send("POST", "/v1/pairings", request)
        assert started.status == 202, started.json
        return cls(daemon, origin, started.json)

    @classmethod
    def approved(
        cls, daemon: DaemonProcess, *scopes: str, name: str = "Orders", origin: str | None = None
    ) -> SampleApp:
        """Request access, have the owner approve it, and fetch the token."""
        app = cls.requesting(daemon, *scopes, name=name, origin=origin)
        daemon.client.approve(app.id)
        return cls(daemon, origin, {**app.pairing, **app.fetch().json})

    @property
    def id(self) -> str:
        """The pairing's id."""
        return str(self.pairing["id"])

    @property
    def code(self) -> str:
        """The code that the app has to show."""
        return str(self.pairing["user_code"])

    @property
    def state(self) -> str:
        """The state of the pairing."""
        return str(self.send("GET", f"/v1/pairings/{self.id}", token=self.pairing["poll_secret"]).json["state"])

    @property
    def app_id(self) -> str:
        """The app's id, once it has access."""
        return str(self.pairing["app_id"])

    def fetch(self) -> Reply:
        """Fetch the token."""
        return self.send("POST", f"/v1/pairings/{self.id}/token", token=self.pairing["poll_secret"])

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request with the app's token."""
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
