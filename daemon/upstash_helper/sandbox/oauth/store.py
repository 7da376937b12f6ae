"""The authorization servers' tables: clients, authorization codes, and tokens. Secrets are stored as hashes."""

from __future__ import annotations

import sqlite3
import time
from typing import Literal

import msgspec

from upstash_helper.sandbox.accounts import digest

Server = Literal["partner", "open"]
"""Which of the two authorization servers. Neither accepts clients, codes, or tokens of the other."""


class RegisteredClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client of an authorization server. Its name is shown to the user."""

    id: str
    redirect_uris: list[str]
    name: str
    scope: str = ""
    """The scopes that it may request."""
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    created_at: float = 0.0


class AuthorizationCode(msgspec.Struct, frozen=True, kw_only=True):
    """What an issued authorization code is bound to, without the code."""

    family: str
    client_id: str
    redirect_uri: str
    challenge: str | None
    """None if the client does not use PKCE."""
    account_id: str
    team_id: str | None
    """The team that the app acts for; None: the personal account."""
    read_only: bool
    scope: str
    audience: str
    nonce: str | None
    created_at: float
    spent: bool = False


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """What an issued access token or refresh token is bound to, without the token."""

    kind: str
    family: str
    """Identifies all tokens that come from one authorization code. They are revoked together."""
    client_id: str
    account_id: str
    scope: str
    audience: str
    expires_at: float | None
    state: str = "live"
    """``live``, ``rotated`` or ``revoked``."""


_CLIENTS = "SELECT id, redirect_uris, name, scope, grant_types, created_at FROM clients WHERE server = ?"


class OAuthStore:
    """The tables of one of the two authorization servers."""

    def __init__(self, connection: sqlite3.Connection, server: Server) -> None:
        self._connection = connection
        self._server = server

    def register_client(self, client: RegisteredClient) -> None:
        """Add a client, or replace it."""
        self._connection.execute(
            "INSERT INTO clients (id, server, redirect_uris, name, scope, grant_types, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET redirect_uris = excluded.redirect_uris, name = excluded.name",
            (
                client.id,
                self._server,
                msgspec.json.encode(client.redirect_uris).decode(),
                client.name,
                client.scope,
                " ".join(client.grant_types),
                client.created_at,
            ),
        )

    def client(self, client_id: str) -> RegisteredClient | None:
        """Return a client, or None if it is not registered."""
        row = self._connection.execute(f"{_CLIENTS} AND id = ?", (self._server, client_id)).fetchone()
        return None if row is None else _client(row)

    def clients(self) -> list[RegisteredClient]:
        """Return all clients, oldest first."""
        return [_client(row) for row in self._connection.execute(f"{_CLIENTS} ORDER BY created_at", (self._server,))]

    def remove_client(self, client_id: str) -> bool:
        """Delete a client, its grants, and its tokens. Return whether it existed."""
        self._connection.execute("UPDATE tokens SET state = 'revoked' WHERE client_id = ?", (client_id,))
        return self._connection.execute("DELETE FROM clients WHERE id = ?", (client_id,)).rowcount > 0

    def add_code(self, code: str, issued: AuthorizationCode) -> None:
        """Store a code, and delete codes older than a day."""
        self._connection.execute("DELETE FROM codes WHERE created_at < ?", (time.time() - 86_400,))
        self._insert("codes", code, issued)

    def code(self, code: str) -> AuthorizationCode | None:
        """Return what is stored about a code, used or not, or None."""
        row = self._select("codes", code)
        return None if row is None else msgspec.convert(dict(row), AuthorizationCode, strict=False)

    def mark_code_used(self, code: str) -> None:
        """Mark a code as used."""
        self._connection.execute("UPDATE codes SET spent = 1 WHERE hash = ?", (digest(code),))

    def add_token(self, token: str, issued: IssuedToken) -> None:
        """Store a token, and delete tokens that expired more than a day ago."""
        self._connection.execute("DELETE FROM tokens WHERE expires_at < ?", (time.time() - 86_400,))
        self._insert("tokens", token, issued)

    def token(self, token: str) -> IssuedToken | None:
        """Return what is stored about a token, whatever its state, or None."""
        row = self._select("tokens", token)
        return None if row is None else msgspec.convert(dict(row), IssuedToken)

    def rotate(self, refresh_token: str) -> None:
        """Mark a refresh token as replaced. If it is used again, it has been stolen."""
        self._connection.execute("UPDATE tokens SET state = 'rotated' WHERE hash = ?", (digest(refresh_token),))

    def revoke(self, token: str) -> None:
        """Revoke one token."""
        self._connection.execute("UPDATE tokens SET state = 'revoked' WHERE hash = ?", (digest(token),))

    def revoke_family(self, family: str) -> None:
        """Revoke every token that comes from one authorization code, and their grant."""
        self._connection.execute("UPDATE tokens SET state = 'revoked' WHERE family = ?", (family,))
        self._connection.execute("DELETE FROM grants WHERE family = ?", (family,))

    def _insert(self, table: str, secret: str, issued: AuthorizationCode | IssuedToken) -> None:
        values = {"hash": digest(secret), "server": self._server, **msgspec.structs.asdict(issued)}
        names = ", ".join(values)
        placeholders = ", ".join(f":{name}" for name in values)
        # The names are the fields of the two structs above, not user input.
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({placeholders})", values)  # noqa: S608

    def _select(self, table: str, secret: str) -> sqlite3.Row | None:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        row: sqlite3.Row | None = cursor.execute(
            f"SELECT * FROM {table} WHERE hash = ? AND server = ?",  # noqa: S608 - the table is one of two literals
            (digest(secret), self._server),
        ).fetchone()
        return row


def _client(row: tuple[str, str, str, str, str, float]) -> RegisteredClient:
    return RegisteredClient(
        id=row[0],
        redirect_uris=msgspec.json.decode(row[1], type=list[str]),
        name=row[2],
        scope=row[3],
        grant_types=tuple(row[4].split()),
        created_at=row[5],
    )
