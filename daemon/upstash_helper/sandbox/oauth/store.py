"""The authorization server's tables: clients, authorization codes, and tokens. Secrets are stored as hashes."""

from __future__ import annotations

import sqlite3
import time

import msgspec

from upstash_helper.sandbox.accounts import digest


class AuthorizationCode(msgspec.Struct, frozen=True, kw_only=True):
    """What an issued authorization code is bound to, without the code."""

    family: str
    client_id: str
    redirect_uri: str
    challenge: str
    account_id: str
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


class OAuthStore:
    """The authorization server's tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def register_client(self, client_id: str, redirect_uris: list[str]) -> None:
        """Add a client, or replace its redirect URIs."""
        self._connection.execute(
            "INSERT OR REPLACE INTO clients VALUES (?, ?)", (client_id, msgspec.json.encode(redirect_uris).decode())
        )

    def redirect_uris(self, client_id: str) -> list[str] | None:
        """Return the redirect URIs of a client, or None if it is not registered."""
        row = self._connection.execute("SELECT redirect_uris FROM clients WHERE id = ?", (client_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=list[str])

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
        """Revoke every token that comes from one authorization code."""
        self._connection.execute("UPDATE tokens SET state = 'revoked' WHERE family = ?", (family,))

    def _insert(self, table: str, secret: str, issued: AuthorizationCode | IssuedToken) -> None:
        values = {"hash": digest(secret), **msgspec.structs.asdict(issued)}
        names = ", ".join(values)
        placeholders = ", ".join(f":{name}" for name in values)
        # The names are the fields of the two structs above, not user input.
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({placeholders})", values)  # noqa: S608

    def _select(self, table: str, secret: str) -> sqlite3.Row | None:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        row: sqlite3.Row | None = cursor.execute(
            f"SELECT * FROM {table} WHERE hash = ?",  # noqa: S608 - the table is one of two literals
            (digest(secret),),
        ).fetchone()
        return row
