"""What the authorization server remembers: clients, authorization codes and tokens, the secrets as hashes."""

from __future__ import annotations

import sqlite3
import time

import msgspec

from upstash_helper.sandbox.developer_api.accounts import digest


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization code that was handed out, without the code itself."""

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


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An access token or refresh token that was handed out, without the token itself."""

    kind: str
    family: str
    """All tokens that come from one authorization code are a family, and are revoked together."""
    client_id: str
    account_id: str
    scope: str
    audience: str
    expires_at: float | None
    state: str = "live"
    """``live``, ``rotated`` or ``revoked``."""


class Grants:
    """The authorization server's tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def register_client(self, client_id: str, redirect_uris: list[str]) -> None:
        """Add a client, or replace its redirect URIs."""
        self._connection.execute(
            "INSERT OR REPLACE INTO clients VALUES (?, ?)", (client_id, msgspec.json.encode(redirect_uris).decode())
        )

    def redirect_uris(self, client_id: str) -> list[str] | None:
        """Return the redirect URIs of a client, or None if it is not known."""
        row = self._connection.execute("SELECT redirect_uris FROM clients WHERE id = ?", (client_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=list[str])

    def add_code(self, code: str, grant: Code) -> None:
        """Remember a code. Codes of the day before are forgotten on the way."""
        self._connection.execute("DELETE FROM codes WHERE created_at < ?", (time.time() - 86_400,))
        self._insert("codes", code, grant)

    def code(self, code: str) -> Code | None:
        """Return what is known of a code, spent or not, or None."""
        row = self._select("codes", code)
        return None if row is None else msgspec.convert(dict(row), Code, strict=False)

    def spend_code(self, code: str) -> None:
        """Mark a code as used."""
        self._connection.execute("UPDATE codes SET spent = 1 WHERE hash = ?", (digest(code),))

    def add_token(self, token: str, grant: Token) -> None:
        """Remember a token. Tokens long expired are forgotten on the way."""
        self._connection.execute("DELETE FROM tokens WHERE expires_at < ?", (time.time() - 86_400,))
        self._insert("tokens", token, grant)

    def token(self, token: str) -> Token | None:
        """Return what is known of a token, live or not, or None."""
        row = self._select("tokens", token)
        return None if row is None else msgspec.convert(dict(row), Token)

    def rotate(self, refresh_token: str) -> None:
        """Mark a refresh token as replaced: whoever shows it again has stolen it, or been stolen from."""
        self._connection.execute("UPDATE tokens SET state = 'rotated' WHERE hash = ?", (digest(refresh_token),))

    def revoke(self, token: str) -> None:
        """Revoke one token."""
        self._connection.execute("UPDATE tokens SET state = 'revoked' WHERE hash = ?", (digest(token),))

    def revoke_family(self, family: str) -> None:
        """Revoke every token that comes from one authorization code."""
        self._connection.execute("UPDATE tokens SET state = 'revoked' WHERE family = ?", (family,))

    def _insert(self, table: str, secret: str, grant: Code | Token) -> None:
        values = {"hash": digest(secret), **msgspec.structs.asdict(grant)}
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        # The names are those of our own structs.
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608

    def _select(self, table: str, secret: str) -> sqlite3.Row | None:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        row: sqlite3.Row | None = cursor.execute(
            f"SELECT * FROM {table} WHERE hash = ?",  # noqa: S608 - a name of ours
            (digest(secret),),
        ).fetchone()
        return row
