"""The REST API as a client on plain sockets sees it, which checks nothing that it sends, and needs no event loop."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

SECONDS = 30.0


class Target:
    """The REST API, and a token for a database."""

    def __init__(self, url: str, token: str) -> None:
        self.port = urlsplit(url).port or 0
        self.token = token

    def send(self, method: str, path: str, body: bytes = b"", more: dict[str, str] | None = None) -> tuple[int, Any]:
        """Send a request without checking any part of it, and return the response's status and its JSON, if any."""
        fields = {
            "Host": "x",
            "Authorization": f"Bearer {self.token}",
            "Content-Length": str(len(body)),
            **(more or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            response = HTTPResponse(connection)
            response.begin()
            content = response.read()
        if response.headers.get_content_type() == "application/json":
            return response.status, json.loads(content)
        assert response.headers.get_content_type() == "application/octet-stream"
        return response.status, None
